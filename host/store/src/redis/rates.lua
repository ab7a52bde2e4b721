-- Takes from several rates at once, or from none: GCRA as in rate/mod.rs, in microseconds of this server.
-- KEYS: one for each rate. ARGV: the least and the most to take, then for each rate the nanoseconds that one
-- unit takes and the microseconds that an arrival may be ahead.
-- Answers what was taken, and for each rate by how much its arrival is ahead.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local least, grant = tonumber(ARGV[1]), tonumber(ARGV[2])
local ahead = {}
for i, key in ipairs(KEYS) do
  local interval, tolerance = tonumber(ARGV[2 * i + 1]), tonumber(ARGV[2 * i + 2])
  ahead[i] = math.max((tonumber(redis.call('GET', key)) or 0) - now, 0)
  local free = math.floor((tolerance - ahead[i]) * 1000 / interval)
  grant = math.min(grant, free)
end
if grant < least then
  grant = 0
end
local answer = { grant }
for i, key in ipairs(KEYS) do
  if grant > 0 then
    ahead[i] = ahead[i] + math.ceil(grant * tonumber(ARGV[2 * i + 1]) / 1000)
    redis.call('SET', key, string.format('%.0f', now + ahead[i]), 'PX', math.ceil(ahead[i] / 1000) + 1)
  end
  answer[i + 1] = ahead[i]
end
return answer
