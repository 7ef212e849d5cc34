// What every page has; each module looks for its own attributes and leaves the rest alone.
import { start as times } from "./times.js";
import { start as tables } from "./tables.js";
import { start as theme } from "./theme.js";
import { start as live } from "./live.js";
import { start as forms } from "./forms.js";

document.documentElement.classList.add("js");
theme(document);
times(document);
tables(document);
forms(document);
live(document);
