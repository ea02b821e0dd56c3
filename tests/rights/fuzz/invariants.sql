-- who was told that a request ended finds it so
SELECT id, request.state FROM request JOIN said_ended ON request = id WHERE request.state <> said_ended.state;
-- a request is told once that it was received
SELECT id, count(seq) FROM request LEFT JOIN told ON request = id AND type = 'request.received' GROUP BY id HAVING count(seq) <> 1;
-- nothing of its way is told twice
SELECT request, type FROM told WHERE type IN ('request.received', 'request.answered', 'request.withdrawn', 'request.closed',
    'request.duplicate', 'request.handed_over', 'request.transferred', 'request.posted') GROUP BY 1, 2 HAVING count(*) > 1;
-- no recipient is told twice
SELECT request, data->>'recipient' FROM told WHERE type = 'recipient.told'
GROUP BY request, data->>'recipient', data->>'done', data->>'step' HAVING count(*) > 1;
-- an answer is told once
SELECT id, count(seq) FROM request LEFT JOIN told ON request = id AND type = 'request.answered'
WHERE answered_at IS NOT NULL GROUP BY id HAVING count(seq) <> 1;

-- after its end nothing more happens than what had been deferred
SELECT request, type FROM told JOIN (SELECT request, min(seq) AS its_end FROM told
    WHERE type IN ('request.withdrawn', 'request.closed', 'request.duplicate') GROUP BY request) ends USING (request)
WHERE seq > its_end AND type NOT IN ('request.deferred_erased', 'recipient.told');
-- its end leaves no sealed word
SELECT id, key FROM ended, jsonb_each(to_jsonb(ended)) WHERE value <> 'null'
AND key IN ('said', 'identifiers', 'evidence', 'changes', 'passphrase', 'spool_key', 'reason', 'transfer', 'ticket_named');
-- its end leaves no key
SELECT id, 'its own' FROM ended JOIN subject_key ON subject = id
UNION ALL SELECT id, 'of its letters' FROM ended JOIN letters_key ON request = id JOIN subject_key USING (subject);
-- its end leaves nothing that was collected
SELECT id, 'a spool' FROM ended JOIN spool ON request = id;
-- its end leaves no letter
SELECT request, template FROM ended JOIN letter ON request = ended.id WHERE num_nonnulls(letter.subject, body, recipient) > 0;
-- its end leaves no file
SELECT id, files FROM ended JOIN lying ON name = id::text;
-- its end stops its clocks
SELECT request, clock FROM ended JOIN request_clock ON request = ended.id WHERE ended_at IS NULL OR next_at IS NOT NULL;
-- its end leaves no step to do
SELECT request, concat_ws(' ', verb, store, request_step.state, problem) FROM ended JOIN request_step ON request = ended.id
WHERE request_step.state IN ('pending', 'running', 'waiting');
-- an answer stops the answer's clock
SELECT request.id, clock FROM request JOIN request_clock ON request = request.id
WHERE state = 'answered' AND clock = 'answer' AND ended_at IS NULL;

-- what was withdrawn, or is a duplicate, erased nothing
SELECT request, did.store FROM undone JOIN request_step ON request = undone.id JOIN did ON step = request_step.id WHERE did.verb = 'erase';
-- what was withdrawn, or is a duplicate, was not answered, unless it is a restriction
SELECT id, answered_at FROM undone WHERE answered_at IS NOT NULL AND kind <> 'restriction';
-- it comes to rest where somebody can go on with it
SELECT id, state FROM request WHERE state IN ('identified', 'executing', 'checking', 'packing', 'transferring', 'lifting');
-- who was proven is not waited for
SELECT id, evidence_method FROM request WHERE state = 'received' AND evidence_method IS NOT NULL;

-- one task at most is open
SELECT request, string_agg(matter, ', ') FROM open_task GROUP BY request HAVING count(*) > 1;
-- where a person decides a task is open
SELECT id, 'none' FROM request WHERE state = 'deciding' AND id NOT IN (SELECT request FROM open_task);
-- a task is open only where a person decides, or of a restriction that was answered
SELECT request, matter FROM open_task JOIN request ON request = request.id
WHERE request.state <> 'deciding' AND (request.kind, request.state) <> ('restriction', 'answered');
-- a restriction that holds can be lifted
SELECT id, 'no task, and no day' FROM restricting WHERE executes_at IS NULL AND id NOT IN (SELECT request FROM open_task);

-- the package is the file that its digest names
SELECT id, coalesce(package, 'nothing') FROM request LEFT JOIN lying ON name = id::text
WHERE state = 'answered' AND kind IN ('access', 'portability') AND package_sha256 <> coalesce(package, '');
-- consent heard last what became of an objection
SELECT id, format('%s, though it is %s and %s', heard.state, request.state, outcome) FROM request LEFT JOIN heard ON request = id
WHERE kind = 'objection' AND party = 'operator' AND CASE
    WHEN request.state = 'withdrawn' THEN heard.state <> 'lifted'
    WHEN request.state NOT IN ('answered', 'closed') THEN false
    WHEN outcome = 'granted' THEN heard.state IS DISTINCT FROM 'raised'
    WHEN outcome = 'overruled' THEN heard.state IS DISTINCT FROM 'overruled'
    WHEN outcome = 'refused' THEN heard.state <> 'lifted'
    ELSE true END;
-- consent heard last what became of a restriction
SELECT id, format('%s, though it is %s and %s', heard.state, request.state, outcome) FROM request LEFT JOIN heard ON request = id
WHERE kind = 'restriction' AND party = 'operator' AND CASE
    WHEN request.state IN ('withdrawn', 'closed') THEN heard.state <> 'lifted'
    WHEN id IN (SELECT id FROM restricting) THEN heard.state IS DISTINCT FROM 'set' END;
-- a deletion leaves no row that no rule keeps
SELECT id, store FROM request JOIN unkept USING (principal) WHERE kind = 'deletion' AND state = 'closed' AND party = 'operator'
AND outcome IS DISTINCT FROM 'refused' AND recording IS NULL AND elements IS NULL AND store IN ('billing', 'helpdesk');

-- what is restricted is frozen
SELECT id, store FROM restricting, unnest('{billing,helpdesk}'::text[]) store
WHERE party = 'operator' AND NOT EXISTS (SELECT FROM frozen WHERE (frozen.principal, frozen.store) = (restricting.principal, store.store));
-- a store is frozen only while a restriction holds
SELECT coalesce(id, principal), store FROM frozen LEFT JOIN (SELECT id, principal FROM request WHERE kind = 'restriction') hers
USING (principal) WHERE NOT EXISTS (SELECT FROM restricting WHERE restricting.principal = frozen.principal);

-- what she is told was brought to another operator came there
SELECT id, sent FROM request, LATERAL (SELECT answer #>> '{transferred,sha256}' AS sent) transferred
WHERE sent IS NOT NULL AND NOT EXISTS (SELECT FROM reception WHERE sha256 = sent);
-- nothing of a reception is told twice
SELECT data->>'reception', type FROM told WHERE type LIKE 'reception.%' GROUP BY 1, 2 HAVING count(*) > 1;
-- a reception that is closed leaves nothing
SELECT id, concat_ws(', ', files, code, content_key) FROM reception LEFT JOIN lying ON name = id::text
WHERE state = 'closed' AND num_nonnulls(files, code, content_key) > 0;
-- what came to a reception opens
SELECT reception, fault FROM unopened;
-- nothing on the disk is nobody's
SELECT name, files FROM lying WHERE name NOT IN (SELECT id::text FROM request UNION ALL SELECT id::text FROM reception);
