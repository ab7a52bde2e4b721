-- Goes on holding places, and takes those again that the server has forgotten.
-- KEYS: the places of one key, once for each that is renewed. ARGV: the milliseconds that they are held, and what each is called.
local time = redis.call('TIME')
local till = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000) + ARGV[1])
for i, key in ipairs(KEYS) do
  redis.call('ZADD', key, till, ARGV[i + 1])
  if redis.call('PTTL', key) < tonumber(ARGV[1]) then
    redis.call('PEXPIRE', key, ARGV[1])
  end
end
