-- KEYS 1 the version. ARGV 1 this one's.
redis.call('SET', KEYS[1], ARGV[1], 'NX')
return redis.call('GET', KEYS[1])
