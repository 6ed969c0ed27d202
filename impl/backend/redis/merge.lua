-- Merges totals of one event type, each by maximum, and marks the type complete if
-- told to. Either all of it is seen or nothing.
-- KEYS[1]  the type's hash
-- ARGV     the key's life in ms, '1' to mark complete, then slot and total in turn
--
-- Totals are compared as text: as numbers they would be doubles, and two totals
-- beyond 2^53 might look the same. Ours have no sign and no leading zeros.
local function greater(a, b)
  if #a ~= #b then
    return #a > #b
  end
  return a > b
end

local function is_total(s)
  return string.match(s, '^[1-9]%d*$') and not greater(s, '9223372036854775807')
end

local function is_slot(s)
  local n = tonumber(s)
  return n and n >= -2147483648 and n <= 2147483647 and string.format('%d', n) == s
end

local kind = redis.call('TYPE', KEYS[1]).ok
if kind ~= 'hash' and kind ~= 'none' then
  redis.call('DEL', KEYS[1]) -- someone else's; ours can be made anew
end

if ARGV[2] == '1' then
  -- A filled type is believed: nothing may be in it that isn't a slot's total.
  local held = redis.call('HGETALL', KEYS[1])
  for i = 1, #held, 2 do
    if held[i] ~= 'complete' and not (is_slot(held[i]) and is_total(held[i + 1])) then
      redis.call('HDEL', KEYS[1], held[i])
    end
  end
  redis.call('HSET', KEYS[1], 'complete', '1')
end

for i = 3, #ARGV, 2 do
  local held = redis.call('HGET', KEYS[1], ARGV[i])
  if not held or not is_total(held) or greater(ARGV[i + 1], held) then
    redis.call('HSET', KEYS[1], ARGV[i], ARGV[i + 1])
  end
end
redis.call('PEXPIRE', KEYS[1], ARGV[1])
return 1
