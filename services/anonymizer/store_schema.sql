-- What Wardline keeps inside a PostgreSQL store, so that an effect and its record commit together.
-- Run as <store>_owner, who owns the schema `wardline`; the working role may read and write rows, the verifier sees nothing.

-- One row per finished step: asked again, a step answers from here and does nothing a second time.
create table if not exists wardline.journal (
    step   uuid primary key,
    result jsonb not null,
    at     timestamptz not null
);

-- Rows that left the ordinary tables on time and are preserved for an order, one per hold, until it is released.
create table if not exists wardline.preserved (
    id               bigint generated always as identity primary key,
    hold             uuid not null,
    step             uuid not null,
    store_table      text not null,
    element          text not null,
    identifier_type  text not null,
    identifier_value text not null,
    arose_at         timestamptz not null,
    row              jsonb not null
);
-- What remains of expired records: how many there were, in groups large enough to hide everybody in them …
create table if not exists wardline.anonymous_count (
    step        uuid not null,
    store_table text not null,
    rule        text not null,
    day         date not null,
    prefix      text not null,
    area        text not null,
    type        text not null,
    count       bigint not null
);

-- … and texts in which nobody is named any more, without anything that tells which record they were of.
create table if not exists wardline.cleaned_text (
    step        uuid not null,
    store_table text not null,
    rule        text not null,
    tenant      uuid not null,
    month       text not null,
    text        text not null
);

create index if not exists preserved_hold on wardline.preserved (hold);
create index if not exists preserved_step on wardline.preserved (step);
create index if not exists preserved_identifier on wardline.preserved (identifier_type, identifier_value, arose_at);

-- Rows that are restricted (GDPR Art. 18), by their key: nothing erases, redacts or sweeps them until the restriction is lifted.
-- The operator's own systems may read it to keep their hands off them, too.
create table if not exists wardline.frozen (
    principal   uuid not null,
    store_table text not null,
    key         jsonb not null,
    at          timestamptz not null,
    primary key (store_table, key, principal)
);
