-- Schema version 4: a status's version is 10 * round + kind, 1000 confirmed and 1001 reversed. The numbers of version 0.1
-- were 1 pending, 2 verifying, 3 expired, 4 cancelled, 5 rejected, 6 confirmed, 7 reversed.

UPDATE payment SET status = CASE status
    WHEN 1 THEN 11 WHEN 2 THEN 12 WHEN 3 THEN 15 WHEN 4 THEN 16 WHEN 5 THEN 17 WHEN 6 THEN 1000 WHEN 7 THEN 1001
    ELSE status END;

UPDATE record SET status = CASE status
    WHEN 1 THEN 11 WHEN 2 THEN 12 WHEN 3 THEN 15 WHEN 4 THEN 16 WHEN 5 THEN 17 WHEN 6 THEN 1000 WHEN 7 THEN 1001
    ELSE status END
WHERE status IS NOT NULL;
