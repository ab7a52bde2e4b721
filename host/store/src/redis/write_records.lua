-- Writes records, all of them, or none if somebody has written since the version that is known.
-- KEYS: head, changes and records. ARGV: identity, mark, the version that is known, and then for each record its id
-- and what it is. Answers the version that is known then, or nothing.
local head = redis.call('HMGET', KEYS[1], 'identity', 'version')
local version = tonumber(head[2]) or 0
if version ~= tonumber(ARGV[3]) or (head[1] and head[1] ~= ARGV[1]) then
  return false
end
for i = 4, #ARGV, 2 do
  -- Each has a version of its own, so that a reader can go on behind any of them.
  version = version + 1
  redis.call('HSET', KEYS[3], ARGV[i], ARGV[i + 1])
  redis.call('ZADD', KEYS[2], version, ARGV[i])
end
version = version + 1
redis.call('HSET', KEYS[1], 'identity', ARGV[1], 'version', version, 'mark', ARGV[2])
return version
