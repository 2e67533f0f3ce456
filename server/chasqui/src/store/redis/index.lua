-- KEYS 1 the payments of a transaction. ARGV 1 id, 2 created_at, 3 the most that are kept, 4 for how long in ms.
redis.call('ZADD', KEYS[1], 'LT', ARGV[2], ARGV[1])
redis.call('ZREMRANGEBYRANK', KEYS[1], 0, -1 - ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
return 1
