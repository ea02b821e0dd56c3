-- What the questions of invariants.sql are asked of beside rights' own rows. Filled in are what callers were told (`said_ended`), what the
-- played operator knows (`did`: the verbs of steps; `heard`: the last that consent was told of a request; `unkept`: rows that no rule keeps),
-- and the disk: `lying` are folders, with the digest of the package there; `unopened`, receptions that do not open; `letters_key`, under which
-- name the key of a request's letters is kept.
CREATE TEMP TABLE said_ended (request uuid, state text);
CREATE TEMP TABLE did (step uuid, store text, verb text);
CREATE TEMP TABLE heard (request uuid, state text);
CREATE TEMP TABLE frozen (principal uuid, store text);
CREATE TEMP TABLE unkept (principal uuid, store text);
CREATE TEMP TABLE lying (name text, files text, package text);
CREATE TEMP TABLE unopened (reception uuid, fault text);
CREATE TEMP TABLE letters_key (request uuid, subject uuid);
CREATE TEMP TABLE told AS SELECT seq, type, (data->>'request')::uuid AS request, data
    FROM (SELECT seq, type, convert_from(body, 'UTF8')::jsonb->'data' AS data FROM rights.event) events;
CREATE TEMP VIEW ended AS SELECT * FROM rights.request WHERE state IN ('closed', 'withdrawn', 'duplicate');
CREATE TEMP VIEW undone AS SELECT * FROM rights.request WHERE state IN ('withdrawn', 'duplicate');
CREATE TEMP VIEW restricting AS SELECT * FROM rights.request
    WHERE kind = 'restriction' AND state = 'answered' AND outcome IS DISTINCT FROM 'refused';
CREATE TEMP VIEW open_task AS SELECT * FROM rights.request_task WHERE state IN ('open', 'proposed');
SET search_path TO rights;
