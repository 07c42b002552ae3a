"""What the server does in one step each, in its Lua. Keys are a contact's own, so they share a slot.

The hash holds a field a rendition; the fence is a token that every purge deletes; the lock is whoever's who renders.
"""

from __future__ import annotations

from service.caches.entry_format import VERSION_AT

HEAD = """
-- KEYS: hash. ARGV: field, bytes wanted. Gives the beginning of the value, and how many bytes it has.
local value = redis.call('HGET', KEYS[1], ARGV[1])
return value and {string.sub(value, 1, ARGV[2]), #value} or {false, 0}
"""

LEAD = f"""
-- KEYS: hash, fence, lock. ARGV: a token, life of fence and lock in ms (lock 0: none is wanted), field, version.
-- Gives the value, if it is of that version; else false, the fence's token, and 0, or the ms that another leads.
if ARGV[4] ~= '' then
  local value = redis.pcall('HGET', KEYS[1], ARGV[4])
  if type(value) == 'string' then
    local long = (string.byte(value, {VERSION_AT - 3}) or 0) * 256 + (string.byte(value, {VERSION_AT - 2}) or 0)
    if string.sub(value, {VERSION_AT + 1}, {VERSION_AT} + long) == ARGV[5] then return {{value}} end
  end
end
local fence = redis.pcall('GET', KEYS[2])
if type(fence) == 'string' then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
else
  fence = ARGV[1]
  redis.call('SET', KEYS[2], fence, 'PX', ARGV[2])
end
if ARGV[3] == '0' then return {{false, fence, 0}} end
local left = redis.call('PTTL', KEYS[3])
if left >= 0 and left <= tonumber(ARGV[3]) then return {{false, fence, math.max(1, left)}} end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])  -- there was none, or one that lasts longer than ours ever do
return {{false, fence, 0}}
"""
"""Look again, and if it is still missing take the fence's token and, if nobody has it, the lock."""

PUT = """
-- KEYS: hash, fence, and the lock that is given back with it, if any. ARGV: field, value, the fence's token, fields at
-- most, life in ms, the record's field, '1' alone; the lock's token, the channel, the message.
-- Gives 1 if it was stored, 0 if the fence has fallen since.
local function release()
  if KEYS[3] and redis.call('GET', KEYS[3]) == ARGV[8] then
    redis.call('UNLINK', KEYS[3])
    redis.call('PUBLISH', ARGV[9], ARGV[10])
  end
end
if redis.call('GET', KEYS[2]) ~= ARGV[3] then
  release()
  return 0
end
local kind = redis.call('TYPE', KEYS[1]).ok
if ARGV[7] == '1' or (kind ~= 'hash' and kind ~= 'none') then redis.call('UNLINK', KEYS[1]) end
if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) and redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then
  for _, victim in ipairs(redis.call('HRANDFIELD', KEYS[1], 2)) do
    if victim ~= ARGV[6] then
      redis.call('HDEL', KEYS[1], victim)
      break
    end
  end
end
local stored = redis.pcall('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('PEXPIRE', KEYS[1], ARGV[5])
release()
return type(stored) == 'table' and stored or 1
"""
"""Store a value unless the contact was purged since its fence was taken; whoever waits for it is woken."""

PURGE = """
-- KEYS: hash, mezzanine, fence. ARGV: channel, message.
redis.call('UNLINK', KEYS[1], KEYS[2], KEYS[3])
return redis.call('PUBLISH', ARGV[1], ARGV[2])
"""

RENEW = """
-- KEYS: lock. ARGV: its token, life in ms.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

RELEASE = """
-- KEYS: lock. ARGV: its token, channel, message.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
return redis.call('PUBLISH', ARGV[2], ARGV[3])
"""
"""Give the lead back, and wake whoever waits."""
