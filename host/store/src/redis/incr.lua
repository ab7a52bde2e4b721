-- Adds to an integer, which stays at the ends of its range.
-- KEYS: it. ARGV: how much, and the milliseconds that it lives if it is new; 0: without an end.
-- Answers what it is then as digits, for this language's numbers are too short; nothing if it is no integer.
if redis.call('EXISTS', KEYS[1]) == 0 then
  if ARGV[2] == '0' then
    redis.call('SET', KEYS[1], ARGV[1])
  else
    redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  end
  return ARGV[1]
end
local sum = redis.pcall('INCRBY', KEYS[1], ARGV[1])
if type(sum) == 'table' and sum.err then
  if string.find(sum.err, 'would overflow', 1, true) then
    local ends = string.sub(ARGV[1], 1, 1) == '-' and '-9223372036854775808' or '9223372036854775807'
    redis.call('SET', KEYS[1], ends, 'KEEPTTL')
    return ends
  end
  if string.find(sum.err, 'not an integer', 1, true) or string.find(sum.err, 'WRONGTYPE', 1, true) then
    return false
  end
  return sum
end
return redis.call('GET', KEYS[1])
