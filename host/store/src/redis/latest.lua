-- Keeps the latest one of moments.
-- KEYS: the moments. ARGV: for each an id and a moment. Answers the latest one of each.
local answer = {}
for i = 1, #ARGV, 2 do
  local known = tonumber(redis.call('HGET', KEYS[1], ARGV[i])) or 0
  local moment = tonumber(ARGV[i + 1])
  if moment > known then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
    known = moment
  end
  table.insert(answer, known)
end
return answer
