CREATE EXTENSION IF NOT EXISTS vector;
CREATE TYPE mood AS ENUM ('sad', 'so "so"', 'happy');
CREATE DOMAIN positive AS integer CHECK (VALUE > 0);
CREATE DOMAIN price AS numeric(50, 4);
CREATE DOMAIN notes AS text[];
CREATE TYPE place AS (street text, "no" int, at timestamptz);
CREATE TYPE span AS RANGE (subtype = float8);
