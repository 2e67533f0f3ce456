-- KEYS 1 an agenda. ARGV 1 the caller's clock or nothing, 2 how many.
return redis.call('ZRANGE', KEYS[1], '-inf', whole(now(ARGV[1])), 'BYSCORE', 'LIMIT', 0, ARGV[2], 'WITHSCORES')
