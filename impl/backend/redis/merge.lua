-- Merges totals of event types, each by maximum, and marks the types complete if
-- told to. Either all of it is seen or nothing.
-- KEYS     the types' hashes; in a Cluster only one
-- ARGV     the keys' life in ms, '1' to mark complete, then for each key: how many
--          totals, and slot and total in turn
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

-- read asks a hash. What another command made under the key is someone else's:
-- it goes, for ours can be made anew.
local function read(key, command, ...)
  local held = redis.pcall(command, key, ...)
  if type(held) == 'table' and held.err then
    redis.call('DEL', key)
    return command == 'HGETALL' and {} or false
  end
  return held
end

local at = 3
for _, key in ipairs(KEYS) do
  local fresh = ARGV[2] == '1'
  if fresh then
    -- A filled type is believed: nothing may be in it that isn't a slot's total.
    local held = read(key, 'HGETALL')
    for i = 1, #held, 2 do
      if held[i] ~= 'complete' and not (is_slot(held[i]) and is_total(held[i + 1])) then
        redis.call('HDEL', key, held[i])
      end
    end
    redis.call('HSET', key, 'complete', '1')
  end
  local last = at + 2 * tonumber(ARGV[at])
  for i = at + 1, last, 2 do
    local held = read(key, 'HGET', ARGV[i])
    if not held then
      fresh = true
    end
    if not held or not is_total(held) or greater(ARGV[i + 1], held) then
      redis.call('HSET', key, ARGV[i], ARGV[i + 1])
    end
  end
  at = last + 1
  if fresh then
    redis.call('PEXPIRE', key, ARGV[1])
  end
end
return 1
