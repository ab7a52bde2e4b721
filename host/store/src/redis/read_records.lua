-- What was written since a version, a page of it, the oldest first.
-- KEYS: head, changes and records. ARGV: the version that is known, and how many records at most.
-- Answers identity, version and mark, and then for each record its version, its id and what it is.
local head = redis.call('HMGET', KEYS[1], 'identity', 'version', 'mark')
local version = tonumber(head[2]) or 0
local answer = { head[1], version, head[3] }
if version > tonumber(ARGV[1]) then
  local changes = redis.call('ZRANGEBYSCORE', KEYS[2], '(' .. ARGV[1], '+inf', 'WITHSCORES', 'LIMIT', 0, ARGV[2])
  for i = 1, #changes, 2 do
    table.insert(answer, tonumber(changes[i + 1]))
    table.insert(answer, changes[i])
    table.insert(answer, redis.call('HGET', KEYS[3], changes[i]))
  end
end
return answer
