-- Takes tokens from a client's bucket: ratelimit.Policy.Take, by Redis's clock.
-- KEYS[1]  the bucket: "<seconds> <nanoseconds>", when it is full again
-- ARGV     interval in ns, quota, need, want
-- returns  granted, remaining, ns until need tokens are there, ns until full
--
-- Lua's numbers are doubles, exact for integers up to 2^53. A Unix time in
-- nanoseconds is beyond that, so moments are kept as two numbers, and only their
-- differences, at most a window of 30 days (2.6e15), are made one.
local interval, quota = tonumber(ARGV[1]), tonumber(ARGV[2])
local need, want = tonumber(ARGV[3]), tonumber(ARGV[4])
local time = redis.call('TIME')
local now_s, now_ns = tonumber(time[1]), tonumber(time[2]) * 1000
local burst = interval * quota

local debt = 0
local held = redis.call('GET', KEYS[1])
if held then
  local s, ns = string.match(held, '^(%d+) (%d+)$')
  if s then
    debt = (tonumber(s) - now_s) * 1e9 + (tonumber(ns) - now_ns)
    debt = math.min(math.max(debt, 0), burst)
  end
end

local free = math.floor((burst - debt) / interval)
if free < need then
  return {0, free, need * interval - (burst - debt), debt}
end
local granted = math.min(free, want)
debt = debt + granted * interval
local full = now_ns + debt
redis.call('SET', KEYS[1],
  string.format('%.0f %.0f', now_s + math.floor(full / 1e9), full % 1e9),
  'PX', string.format('%.0f', math.ceil(debt / 1e6)))
return {granted, free - granted, 0, debt}
