-- Sets a value if it is what somebody expects.
-- KEYS: its. ARGV: the new one, the milliseconds that it lives (0: without an end), and the expected one; left out, there
-- is to be none.
-- Answers whether it was.
local found = redis.call('GET', KEYS[1])
if found ~= (ARGV[3] or false) then
  return 0
end
if ARGV[2] == '0' then
  redis.call('SET', KEYS[1], ARGV[1])
else
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
end
return 1
