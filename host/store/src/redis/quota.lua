-- Takes from a quota, or nothing if all in all it were over the limit.
-- KEYS: what was used in the window. ARGV: how much, of how much, the milliseconds that it is kept, and what was
-- used while this store could not be asked, which counts in any case.
-- Answers whether it was taken, and what is used.
local used = tonumber(redis.call('GET', KEYS[1])) or 0
local cost = tonumber(ARGV[1])
if tonumber(ARGV[4]) > 0 then
  used = redis.call('INCRBY', KEYS[1], ARGV[4])
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
if used + cost > tonumber(ARGV[2]) then
  return { 0, used }
end
redis.call('INCRBY', KEYS[1], ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[3])
return { 1, used + cost }
