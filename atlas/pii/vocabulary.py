"""How columns are called: English, German, French, Spanish, Danish, Norwegian, Swedish, Italian,
Polish, Finnish, Dutch and Portuguese, without accents; of other languages, what names and numbers
of people are called.

Only data; :mod:`atlas.pii.claims` reads it. A word that is also an English one, or means other
things in other places, stands in :data:`ALONE` and counts only as a whole name.
"""

from __future__ import annotations


def word_set(text: str) -> frozenset[str]:
    """The words of ``text``."""
    return frozenset(text.split())


def _translations(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    english = ""
    for line in text.strip().splitlines():
        before, colon, words = line.rpartition(":")
        english = before if colon else english
        found.update(dict.fromkeys(words.split(), english))
    return found


ENGLISH: dict[str, str] = _translations(
    """
first name: firstname fname forename givenname vorname rufname prenom imie etunimi fornavn
    fornamn voornaam roepnaam primeironome tilltalsnamn prename fornavne krestni keresztnev
    utonev prenume isim vorna имя
last name: lastname lname surname familyname nachname zuname familienname efternavn
    etternavn efternamn achternaam geslachtsnaam apellido cognome sobrenome apelido nazwisko
    sukunimi secondname soyad soyadi soyisim prijmeni priezvisko vezeteknev csaladnev prezime
    uzvards pavarde perekonnanimi nachn tilnavn slaektsnavn slektsnavn фамилия прізвище επωνυμο
    姓 성
full name: fullname gesamtname fuldenavn helenavn nomecompleto nombrecompleto kokonimi adsoyad
    adisoyadi hoten hovaten namalengkap nominativo fio фио піб ονοματεπωνυμο 姓名 氏名 성명
middle name: middlename mellemnavn mellomnavn mellannamn tussenvoegsel zwischenname
given name: toinenimi
name: namn navn naam nom nombre nome nimi nazwa nm jmeno meno nume ime nama
    adi nev 이름
maiden name: geburtsname madchenname nomjeunefille pigenavn meisjesnaam tyttonimi
user name: username benutzername brugernavn brukernavn anvandarnamn gebruikersnaam
    kayttajatunnus kayttajanimi nomeutente nomutilisateur nick nickname screenname loginname
    userlogin
customer: kunde kunden cliente kund klant klient asiakas clientes klienci kunder besteller cust
    musteri pelanggan zakaznik ugyfel kupac клиент клиента 客户 고객
employee: mitarbeiter medarbejder ansatt anstalld medewerker empleado dipendente salarie
    employe funcionario pracownik tyontekija empregado
user: benutzer bruger bruker anvandare gebruiker usuario utente utilisateur uzytkownik
    kayttaja utilizador nutzer
patient: paciente paziente pacjent potilas hasta pasien пациент
contact: kontakt contacto contatto contato yhteyshenkilo ansprechpartner kontaktperson
person: persona personne pessoa osoba henkilo persoon
member: mitglied medlem lid miembro membre membro socio adherent jasen czlonek
owner: inhaber eigentumer eigentuemer ejer eier agare eigenaar propietario proprietario
    proprietaire wlasciciel omistaja titular titulaire titolare
recipient: empfanger empfaenger modtager mottaker mottagare ontvanger destinatario
    destinataire odbiorca vastaanottaja
sender: absender afsender avsender avsandare afzender remitente mittente remetente
    expediteur nadawca lahettaja
student: schuler schueler elev etudiant estudiante alumno alunno studente uczen oppilas
buyer: kaufer kaeufer kober comprador acquirente acheteur kupujacy ostaja koper
doctor: arzt laege lege lakare medico medecin lekarz laakari
driver: fahrer forer chauffeur conductor autista conducteur kierowca kuljettaja
guest: gast gaest huesped ospite hospede vieras gosc
teacher: lehrer laerer larare docente profesor professeur nauczyciel opettaja
author: autor autore forfatter auteur forfattare
cardholder: karteninhaber kortholder kortinnehavare kaarthouder titulaire_carte
    kortindehaver
holder: halter indehaver innehaver innehavare houder
citizen: borger medborgare burger buerger ciudadano cittadino citoyen cidadao obywatel
product: produkt producto produit prodotto produto tuote artikel articulo articolo artigo
    towar vare vara ware
company: firma empresa entreprise azienda virksomhed bedrijf yritys foretag societe
    unternehmen sociedad societa bedrift
file: datei fichier archivo tiedosto bestand plik fil arquivo ficheiro
city: stadt ortschaft wohnort gemeinde gemeente ville ciudad citta cidade miasto miejscowosc
    kaupunki postitoimipaikka stad plaats woonplaats poststed postort kommune kommun commune
    comune municipio localidad poblacion localite localita concelho freguesia bynavn
    hometown village postby cityname townname paikkakunta mesto varos sehir miestas pilseta
    город місто 城市 도시
email: courriel correo mejl epost epostadress epostadresse sahkoposti sahkopostiosoite
    poczta emailadresse mailadresse emailadres mailadres emailadress correoelectronico eposta
    emailadr mailadr smtpadr eml почта 邮箱 이메일
phone: telefon telefono telefone telephone puhelin telefoon tel tlf tfn puh telefonnummer
    telefonnumer telnr tlfnr rufnummer telephonenumber fon fono phonenumber phoneno phn telf telno
    telefonszam sdt телефон τηλεφωνο 电话 电话号码 전화 전화번호 هاتف טלפון
mobile: mobil movil handy handynummer mobilnummer mobiltelefon cellulare celular telemovel
    matkapuhelin komorka komorkowy kannykka gsm mobiel mobieltje natel mobilephone cellphone
    msisdn mobitel handphone мобильныи 手机 手机号 휴대폰
fax: faks faksi telefax telefaks
number: no nr num numero nummer numer nro nbr number
date: datum dato fecha pvm paivamaara tarihi tanggal дата
birth date: birthdate dateofbirth birthday dob bday geburtsdatum geburtstag geburtsdat
    gebdat gebdatum foedselsdag fodselsdag foedselsdato fodselsdato fodselsdatum
    fodelsedatum fodelsedag geboortedatum geboortedag syntymaaika syntymapaiva
    fechanacimiento datanascita datenaissance datanascimento dataurodzenia fecnac
    fnacimiento birthdt dogumtarihi ngaysinh tgllahir synnikuupaev 生年月日 出生日期 생년월일
birth: geburt nacimiento naissance nascita nascimento urodzenia urodzenie geboorte fodsel
    foedsel fodselse syntyma nasc naiss dogum narozeni narodenia szuletesi lahir rodenja nasterii
    gimimo dzimsanas рождения народження
born: geboren fodt foedt fodd syntynyt nacido nato nascido urodzony
address: addr addresse adresse adress adres osoite direccion indirizzo endereco morada
    anschrift domicilio katuosoite lahiosoite adresa addressline adresi alamat aadress adrese
    adresas lakcim diachi адрес адреса διευθυνση 地址 住所 주소
street: strasse straat calle rue rua ulica gata gatuadress gatenavn vejnavn gade
    strassenname straatnaam katu streetname gadenavn gatunamn voie ulice
    utca sokak cadde улица вулиця
street address: streetaddress postanschrift wohnadresse lieferadresse rechnungsadresse
    postadresse postadress huisadres hausanschrift besoksadress leveringsadresse
    bostadsadress
house number: housenumber housenr hausnummer hausnr husnummer husnr huisnummer huisnr
    talonumero civico houseno streetnumber streetno
postal code: zipcode postalcode postcode postleitzahl plz postnummer postnr postinumero
    kodpocztowy codepostal codigopostal codpostal postnumer zip zipplus psc irsz iranyitoszam
    postakodu kodepos индекс 邮编 郵便番号 우편번호
latitude: lat latitud latitudine breitengrad breddegrad leveysaste latdeg
longitude: lon lng longitud longitudine laengengrad langengrad laengdegrad lengdegrad
    longitudgrad pituusaste
tax id: steuerid steueridnr steueridentifikationsnummer idnr steueridnummer taxid taxpayerid
passport: reisepass reisepassnummer passnummer pasaporte passaporto passaporte passeport
    paszport paszportu passi paspoort passnr paspoortnummer ppn passportno passportnumber passno
    паспорт 护照
national id: nationalid personalausweis personalausweisnummer ausweisnummer ausweisnr
    personnummer personnr personalnumber fodselsnummer foedselsnummer fodselsnr
    foedselsnr cprnummer cprnr cpr hetu henkilotunnus sotu pesel dni nif nie nuip codfisc
    codicefiscale codfiscale nir insee bsn burgerservicenummer sofinummer nino niss
    rijksregisternummer rodnecislo curp cpf contribuinte ahv avs itin
    sozialversicherungsnummer svnr rvnr idcard idkort henkilonumero niegnr numerosecu nss
    nrpesel nationalnumber personalidentitycode ppsn pps aadhaar aadhar tckn kimlik ktp cccd cmnd
    jmbg egn amka bvn hicn cedula isikukood kennitala nric cni emso mynumber krankenversichertennr
    krankenversichertennummer aufenthaltstitel natid снилс 身份证 身份证号
driver license: fuhrerschein fuehrerschein fuehrerscheinnummer fuhrerscheinnummer korkort
    korekort korekortnummer rijbewijs patente permis driverslicense driverlicense
    driverslicence driverlicence fahrerlaubnis ajokortti
card: kreditkarte tarjeta carte karte kaart kreditkort cartao luottokortti kortti creditcard
    debitcard kreditkartennummer kartennummer kortnummer cardnumber cardno ccnumber ccnum
    kaartnummer karty karten kreditkartennr kknr ccnbr ccnr kortnr kredikarti 卡号
gender: geschlecht kon kjonn kjoenn geslacht genero sexe sexo sesso plec sukupuoli
nationality: staatsangehorigkeit nationalitat nacionalidad nationalite nazionalita
    nationaliteit obywatelstwo kansalaisuus nationalitet nacionalidade
marital: familienstand civilstand civilstatus sivilstatus estadocivil
salutation: anrede tiltale aanhef
occupation: beruf stilling yrke beroep profesion professione ammatti zawod
ip: ipaddress ipaddr ipadresse ipadress ipadres ipv
mac address: macaddress macaddr macadresse hwaddr hwaddress
delivery: lieferung levering leverans entrega consegna livraison dostawa toimitus
invoice: rechnung faktura factura fattura facture fatura lasku factuur
document: dokument documento doc
travel document: reisedokument reisdocument rejsedokument resedokument reisedocument traveldoc
    traveldocument
identity document: ausweisdokument identitetsdokument identiteitsdocument identiteitsbewijs
    legitimatiebewijs legitimation identitydocument iddocument iddoc
home: privat prive privado privato koti
work: dienstlich gescheftlich arbete arbejde trabajo lavoro trabalho tyo praca werk
"""
)
"""English tokens of one lower-case word."""

HEADS: dict[str, str] = {
    "vorname": "first name",
    "nachname": "last name",
    "geburtsdatum": "birth date",
    "telefonnummer": "phone",
    "rufnummer": "phone",
    "telefon": "phone",
    "telefoon": "phone",
    "strasse": "street",
    "hausnummer": "house number",
    "postleitzahl": "postal code",
    "postnummer": "postal code",
    "postnr": "postal code",
    "email": "email",
    "nummer": "number",
    "numero": "number",
    "number": "number",
    "adresse": "address",
    "address": "address",
    "adress": "address",
    "adres": "address",
    "osoite": "address",
    "name": "name",
    "navn": "name",
    "namn": "name",
    "naam": "name",
    "nimi": "name",
    "datum": "date",
    "dato": "date",
    "code": "code",
    "nr": "number",
}
"""Ends of words that are written in one, and what they mean; the rest is a word of its own."""

PARTICLES = word_set("of de du des di della del do da dos das van der den la le el the til")
"""Words between others that change nothing: "data_di_nascita"."""

ALONE: dict[str, str] = {
    "by": "city",
    "ort": "city",
    "sted": "city",
    "lugar": "city",
    "via": "street",
    "ul": "street",
    "vej": "street",
    "cap": "postal code",
    "cp": "postal code",
    "cep": "postal code",
    "long": "longitude",
    "cf": "national id",
    "rut": "national id",
    "id_card": "national id",
    "imei": "imei",
    "navn": "name",
    "portable": "mobile",
    "cellule": "mobile",
    "posta": "email",
    "pec": "email",
    "login": "user name",
    "handle": "user name",
    "pseudo": "user name",
    "alias": "user name",
    "titular": "owner",
    "fnr": "national id",
    "cnp": "national id",
    "oib": "national id",
    "nik": "national id",
    "инн": "national id",
}
"""Words that say something only as a whole name."""

ABBREVIATED: dict[str, str] = _translations(
    """
name: nam nme nm
first name: vnam vname fnam fname fnm gnam
last name: nnam nname lnam lname lnm snam znam
street: str stras strt
address: adr addr ad adrs
postal code: plz pstlz zip pcd pc pcod
city: ort cty cit twn stdt
phone: tel tlf tfn fon ph phn phon telf rufnr
mobile: mob mobil cel hdy
email: eml mail mel email
birth date: gebd gebdt gebdat geb dob bdt bday bdat brthdt
"""
)
"""What is left of a column's name in old systems behind the letters of its table."""

PEOPLE_LAST = word_set(
    "customer client user patient employee person member contact student buyer recipient sender "
    "guest driver citizen owner"
)
"""Who may follow what is theirs: "telefono_cliente"."""

VERSIONS = word_set(
    "version firmware release build ver versione versio wersja versao bios sdk "
    "revision rev semver patch"
)
"""Words of columns that hold versions."""

CLAIMS: tuple[tuple[str, str, bool, str], ...] = (
    (
        "EMAIL_ADDRESS",
        "e-mail",
        True,
        """
email, e mail, mail, email address, mail address, e mail address, email electronico, electronic
mail, posta elettronica, correio eletronico, e post, address email, address mail, address
electronico, address electronique, address elettronico, e posta, contact email, email id, e post
address, email primary, paypal email, email account""",
    ),
    (
        "PHONE_NUMBER",
        "telephone",
        True,
        """
phone, telephone, mobile, cell, cellphone, fax, msisdn, phone number, telephone number, fax
number, mobile number, cell number, mobile phone, phone mobile, phone portable, phone fijo,
phone fixe, phone fisso, phone komorkowy, phone stacjonarny, phone cell, whatsapp, whatsapp
number, sms number, contact number, callback number, caller id, landline, landline number,
calling number, number called, dialed number, rufnummer, ruf number, phone 1, phone 2, ani,
dnis, mobile no, hand phone, signal number, emergency number, contact phone, mob, mob number, mbl
number, hp number, number hp, home ph, work ph, wk ph, hm ph, bus ph, day ph, cell ph, ph number""",
    ),
    (
        "PERSON",
        "name",
        True,
        """
first name, last name, given name, family name, middle name, full name, maiden name, legal name,
name first, name last, name full, name given, name family, name middle, second name, second last
name, name famille, name usage, name naissance, birth name, name birth, name complet, name
completo, name propre, name proprio, pila, primer last name, segundo last name, primo name,
primer name, segundo name, preferred name, known as, called name, cardholder, cardholder name,
card holder, card holder name, name card, name on card, holder card, account holder, account
holder name, accountholder, nombre pila, name pila, personal name, patient name, customer name,
next kin, first middle last, surnames, person name, name person, contact name, name contact,
contact person, name user real, real name, father name, mother name, emergency contact name,
doctor name, gp name, salesperson, sales rep, account manager, case worker, kin name, lst name,
fst name, frst name, first name usuel, name usuel, last name paterno, last name materno,
ad last name, last name first name, name last name,
first name last name, last name name, ho ten, name lengkap""",
    ),
    (
        "PERSON",
        "name",
        False,
        """
profile display, display name, profile name, signature, signed by, author name, counterparty,
beneficiary name, payee, payer, made by, sales agent, insured, insured name""",
    ),
    (
        "PERSON",
        "user name",
        False,
        """
user name, name user, login, login name, name login, user login, user handle, handle, screen
name, nick name, nick, twitter, twitter handle, instagram, instagram handle, telegram, telegram
handle, skype, skype id, github, github login, gamertag, user principal name, upn, sam
samaccountname, logon name, logon, player name, db user, social handle, discord, slack handle,
remote user""",
    ),
    (
        "LOCATION",
        "street",
        True,
        """
street, street name, street address, address, address line, street line, house number, street
number, building number, apartment number, number street, number house, number building, flat
number, door number, number domu, number lokalu, number mieszkania, number civico, house
addition, toevoeging, address postal, postal address, home address, place residence, residence
address, address complete, address completa, address complete, name street, name rue, road, road
name, complement address, address complement, house name, number porte, address block, mailing
address, ship to address, bill to address, full address, street address line, residential
address, permanent address, address full""",
    ),
    (
        "LOCATION",
        "city",
        True,
        """
city, city name, town, municipality, suburb, locality, name city, town name, birth city, city
birth, birth place, birthplace, place birth, lieu birth, luogo birth, lugar birth, lieu
naissance, miejsce birth, geburtsort, village, post town, city residence, hometown, address
city, geo city""",
    ),
    (
        "LOCATION",
        "postal code",
        True,
        """
postal code, post code, code postal, codigo postal, codice postal, codice postale, cod postal,
kod pocztowy, postal, postal code code, postal code 4, post number, posti number, postal number,
postal zip, plz ort, code postale, codigo postale, mailing code, zip code""",
    ),
    (
        "LOCATION",
        "coordinates",
        True,
        """
latitude, longitude, coordinate, latlng, latlon, latlong, lat long, latitude longitude, lnglat,
lonlat, geo point, geopoint, gps, gps coordinate, gps position, gps location, geo coordinate,
geolocation, geo location, geo position, koordinate, koordinaten, coordenada, coordonnee,
coordinata, koordinaatti, wspolrzedne, szerokosc geograficzna, dlugosc geograficzna,
coordinaten, coordinate gps, geo x, geo y, latitude longitude pair, location coordinate""",
    ),
    (
        "DATE_OF_BIRTH",
        "date",
        True,
        """
birth, birth date, date birth, date of birth, born, born on, born date, date born, birth day,
birth dt, dt birth, data birth, data birth date, day birth, fecha birth, fec nac, fecha nac, f nac,
data nasc, dt nasc, data ur, date naiss, geb date, geb dat, geb tag, geb, birth at, ddn, data nasc,
date naissance, birth aika, birth paiva, birth ido,
date anniversary birth, ne le, nato il, urodzony""",
    ),
    (
        "CREDIT_CARD",
        "number",
        True,
        """
card, card number, credit card, debit card, cc number, cc, pan, ccn, credit card number, card
credit, card credito, number card, card pan, payment card, payment card number, primary account
number, card no, debit card number, card bancaire, card bleue, card kredytowa, card bancaria,
number cc, account card number, card num, kk number, crd number, crd num, kredi karti""",
    ),
    (
        "US_SSN",
        "number",
        True,
        """
ssn, social security, social security number, soc sec number""",
    ),
    (
        "UK_NHS",
        "number",
        True,
        """
nhs, nhs number, nhs id, number nhs""",
    ),
    (
        "IBAN_CODE",
        "number",
        True,
        """
iban, iban code, iban number, account iban, bank account iban, iban account, number iban, iban
account number, bank iban""",
    ),
    (
        "IP_ADDRESS",
        "address",
        True,
        """
ip, ip address, ip 4, ip 6, ip v 4, ip v 6, ip v, remote addr, remote address, address ip,
forwarded for, x forwarded for, peer address, ip source, ip client, remote host, source address,
destination address, login ip, ip last, ip origin, ip remote""",
    ),
    (
        "MAC_ADDRESS",
        "address",
        True,
        """
mac, mac address, address mac, hardware address, hw address, ethernet address, bluetooth
address, wifi mac, wifi address, bssid, physical address mac, bt address, mac id""",
    ),
    (
        "CRYPTO",
        "address",
        True,
        """
wallet, wallet address, bitcoin address, btc address, btc, bitcoin, crypto address, crypto
wallet, eth address, ethereum address, eth wallet, address wallet, address btc, address eth,
wallet id, payout wallet, ethereum, crypto, public address, monedero, portemonnaie, portefeuille
crypto, withdrawal address, deposit address""",
    ),
    (
        "NATIONAL_ID",
        "number",
        True,
        """
national id, national id number, national number, national insurance, national insurance number,
national identity number, national identification number, identity number, identity card, id
card, id card number, tax id, tax number, tax identification number, taxpayer id, tin, fiscal
code, codice fiscale, cod fiscale, cod fisc, fiscal number, numero fiscal, passport, passport
number, passport no, passport code, driver license, drivers license, driver licence, drivers
licence, driving license, driving licence, license driver, permis conduire, patente guida,
person number, personal number, personal id, personal code, personal identity number, personal
identity code, personal identification number, civil registration number, citizen number,
citizen service number, citizen id, birth number, burger service number, securite sociale,
numero securite sociale, num secu, social insurance number, steuer id, steuer number,
steuer identifikation number, sozialversicherung number, rente versicherung number,
documento identidad, documento identita, carta identita, carte identite, card identite,
card identita, dowod osobisty, number dowodu, cartao cidadao, card cidadao, government id,
gov id, ni number, nhs id, medicare number, health card number,
health insurance number, kvnr, versicherten number, ausweis number, ausweis,
pass number, social insurance, svnr, residence permit, visa number, alien number, id fiscal,
identificacion fiscal, dl number, drv lic number, medicare id, nin, nin number, sozvers number, sv
number, perso number, secu soc, securite soc, num ss, number ss, asmens kodas, rodne cislo,
nat id, travel document, travel document number, document travel, document viaje, document voyage,
document viaggio, document viagem, document podrozy, identity document, id document, document
identity, document identite, document identificacion, document identificacao, document tozsamosci,
piece identite, national identity, identity card number, citizen card, citizen card number,
citizenship number, resident registration number, my number, voter id, emirates id, civil id, govt
id, titre sejour, permesso soggiorno, permiso residencia, carnet conducir, licencia conducir,
prawo jazdy, carta conducao, personas kods, dowod, seria dowodu, num secu sociale""",
    ),
)
"""Entity type, which part of it, whether the name is unmistakable, and phrases in English tokens or
in words that :data:`ENGLISH` has."""

OTHER_DATES: tuple[str, ...] = tuple(
    sorted(
        word_set(
            """
            aanmaak ablauf achat acquist admiss admit aloitus alta andret anfang anmeld ansat
            anstall appoint assunzion austritt avslut baja begin beginn bestell betaal betal
            book borja build built caduc cancel clos commande compra consegna contract contrat
            crea creat creation debut deliver discharg dostaw due echeance einstell eintritt
            embauch employ end ende enrol entrega envio erstell event expir expiration factura
            facture faktura fallig fattur fim fin fine first found geander giltig graduat grund
            gultig hir indienst inicio inizio invoic issu join kauf kob last leverans levering
            liefer livraison login luotu maksu modif modific open opret order ordre paatty
            pagament pagamento pago paid paiement pay pedido platn publish purchas receiv
            rechnung regist sale scadenz sent ship sign skapad slut sold start termin toimitus
            udlob uitdienst updat utworz valid validade vence vertrag visit wazn zahl zakonc
            zamow zatrudn
            """
        )
    )
)
"""How words begin that make a date one of something else than a birth."""
