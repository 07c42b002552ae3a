"""Lua scripts, which the server runs atomically. All their keys, but that of the generation, belong to one contact.

The generation is a hash with the number of purges and the epoch (`generation.py`). The hash of a contact has a field
for each rendition. The fence is a token that every purge deletes. The lease is a lock with an expiry, whose value is
the token of the process that renders.
"""

from __future__ import annotations

from service.caches.entry_format import VERSION_AT
from service.pictures.values import ABSENCE

VERSION_LENGTH = f"((string.byte({{0}}, {VERSION_AT - 3}) or 0) * 256 + (string.byte({{0}}, {VERSION_AT - 2}) or 0))"
"""The expression for the length of the version in a value, which is the second-last number of its header."""

DROP_TOO_LARGE = """
-- KEYS: hash. ARGV: bytes of the largest value, fields. Returns the number of values that were larger.
local dropped = 0
for at = 2, #ARGV do
  if redis.call('HSTRLEN', KEYS[1], ARGV[at]) > tonumber(ARGV[1]) then
    dropped = dropped + redis.call('HDEL', KEYS[1], ARGV[at])
  end
end
return dropped
"""

HEAD = """
-- KEYS: hash. ARGV: bytes of the largest value, field, number of bytes. Returns the first bytes of the value, and its
-- length. A value that is too large is dropped and missing.
if redis.call('HSTRLEN', KEYS[1], ARGV[2]) > tonumber(ARGV[1]) then redis.call('HDEL', KEYS[1], ARGV[2]) end
local value = redis.call('HGET', KEYS[1], ARGV[2])
return value and {string.sub(value, 1, ARGV[3]), #value} or {false, 0}
"""

ACQUIRE = f"""
-- KEYS: hash, fence, lease. ARGV: a token, ms of the fence, ms of the lease (0: only the fence), field, version, bytes
-- of the largest value. Returns the value if it has that version. Otherwise false, the fence, and the remaining ms of
-- another process's lease (0: this process has got it). A value that is too large is dropped.
if ARGV[4] ~= '' then
  local size = redis.pcall('HSTRLEN', KEYS[1], ARGV[4])
  if type(size) == 'number' and size > tonumber(ARGV[6]) then redis.call('HDEL', KEYS[1], ARGV[4]) end
  local value = redis.pcall('HGET', KEYS[1], ARGV[4])
  if type(value) == 'string' then
    local long = {VERSION_LENGTH.format("value")}
    if string.sub(value, {VERSION_AT + 1}, {VERSION_AT} + long) == ARGV[5] then return {{value}} end
  end
end
local fence = redis.pcall('GET', KEYS[2])
if type(fence) == 'string' and #fence <= 16 then
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
else
  fence = ARGV[1]
  redis.call('SET', KEYS[2], fence, 'PX', ARGV[2])
end
if ARGV[3] == '0' then return {{false, fence, 0}} end
local left = redis.call('PTTL', KEYS[3])
if left >= 0 and left <= tonumber(ARGV[3]) then return {{false, fence, math.max(1, left)}} end
redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])  -- there was none, or a foreign key that lasts longer than any lease
return {{false, fence, 0}}
"""
"""Look the value up once more. If it is missing, get the fence and, if it is free, the lease."""

PUT = f"""
-- KEYS: hash, fence, and the lease to release, if any. ARGV: field, value, fence, largest number of fields, ms of the
-- hash, the record's field, the absence's value if the value is the record of a missing picture (otherwise ''), field
-- of a large body, its value ('': there is none); the lease's token, the channel, the message. Returns 1 if a value was
-- stored, 0 if the fence was deleted in between.
local function release()
  if KEYS[3] and redis.call('GET', KEYS[3]) == ARGV[10] then
    redis.call('UNLINK', KEYS[3])
    redis.call('PUBLISH', ARGV[11], ARGV[12])
  end
end
if redis.call('GET', KEYS[2]) ~= ARGV[3] then
  release()
  return 0
end
local kind = redis.call('TYPE', KEYS[1]).ok
local record = ARGV[7] ~= '' and kind == 'hash' and redis.call('HGET', KEYS[1], ARGV[6])
if record and {VERSION_LENGTH.format("record")} > 0 then
  local noted = redis.pcall('HSET', KEYS[1], '{ABSENCE}', ARGV[7])
  release()
  return type(noted) == 'table' and noted or 1
end
if ARGV[7] ~= '' or (kind ~= 'hash' and kind ~= 'none') then redis.call('UNLINK', KEYS[1]) end
local function store(field, value)
  if redis.call('HLEN', KEYS[1]) >= tonumber(ARGV[4]) and redis.call('HEXISTS', KEYS[1], field) == 0 then
    for _, victim in ipairs(redis.call('HRANDFIELD', KEYS[1], 4)) do
      if victim ~= ARGV[1] and victim ~= ARGV[6] and victim ~= ARGV[8] then
        redis.call('HDEL', KEYS[1], victim)
        break
      end
    end
  end
  return redis.pcall('HSET', KEYS[1], field, value)
end
if ARGV[9] ~= '' then store(ARGV[8], ARGV[9]) else redis.call('HDEL', KEYS[1], ARGV[8]) end
local stored = store(ARGV[1], ARGV[2])
if ARGV[1] == ARGV[6] then redis.call('HDEL', KEYS[1], '{ABSENCE}') end
redis.call('PEXPIRE', KEYS[1], ARGV[5])
release()
return type(stored) == 'table' and stored or 1
"""
"""Store a value unless the contact was purged since the fence was read, and wake the processes that wait for it.

The record of a missing picture replaces all values. If there is the record of a picture, an absence is stored beside it
instead, which the next record deletes.
"""

GENERATIONS = 10**12
"""Numbers of generations: 1 follows the last one. The later one of two is less than half of them ahead of the other."""

_GENERATION = """
local function valid(field, longest, pattern)
  if redis.call('TYPE', KEYS[1]).ok ~= 'hash' or redis.call('HSTRLEN', KEYS[1], field) > longest then return false end
  local value = redis.call('HGET', KEYS[1], field)
  return value and string.match(value, pattern) or false
end
local number, epoch = valid('generation', 12, '^[0-9]+$'), valid('epoch', 16, '^[0-9a-f]*$')
"""
GET_GENERATION = f"""#!lua flags=no-writes,allow-oom
-- KEYS: generation. Returns the number and the epoch, or false for each that is missing or foreign.
{_GENERATION}
return {{number, epoch}}
"""

_STATE = f"""#!lua flags=allow-oom
{_GENERATION}
-- KEYS: generation, ... ARGV: channel, sender, number and epoch that the sender knows. A new server takes these two.
local size, known = {GENERATIONS}, tonumber(ARGV[3])
number = tonumber(number or '')
local function set(new_number, new_epoch)
  number, epoch = new_number, new_epoch
  redis.call('HSET', KEYS[1], 'generation', number, 'epoch', epoch)
end
local function after(earlier) return earlier % (size - 1) + 1 end
if not (number and epoch) then  -- the server is new, or a foreign value has the key
  redis.call('UNLINK', KEYS[1])
  set(math.max(1, known), ARGV[4])
end
"""

PURGE = f"""{_STATE}
-- KEYS: ..., hash, mezzanine, fence, unless they are unlinked already. ARGV: ..., contact. Returns the message.
if KEYS[2] then redis.call('UNLINK', unpack(KEYS, 2)) end
set(after(number), epoch)
local message = 'purged ' .. ARGV[2] .. ':' .. number .. ':' .. epoch .. ' ' .. ARGV[5]
redis.call('PUBLISH', ARGV[1], message)
return message
"""
"""Drop what is cached of a contact. No reply but the message acknowledges it."""

STORES = """
-- KEYS: sorted set by time. ARGV: Unix seconds now, seconds for which a store is kept, a store to note ('': none).
-- Returns the stores, without names that are longer than any: a reply has a limit.
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[1] - ARGV[2])
if ARGV[3] ~= '' then
  redis.call('ZADD', KEYS[1], ARGV[1], ARGV[3])
  redis.call('EXPIRE', KEYS[1], ARGV[2])
end
local stores = {}
for _, store in ipairs(redis.call('ZREVRANGE', KEYS[1], 0, 15)) do
  if #store <= 1024 then stores[#stores + 1] = store end
end
return stores
"""
"""Note a store, and return those that were noted lately, the last first."""
PROPOSE_EPOCH = f"""{_STATE}
-- ARGV: ..., the epoch to replace. Returns the number and the epoch of the server. They are another process's if the
-- server does not have the epoch to replace.
if epoch == ARGV[5] then
  local ahead = known > 0 and (known - number) % size < size / 2
  set(after(ahead and known or number), ARGV[4])
  redis.call('PUBLISH', ARGV[1], 'purged ' .. ARGV[2] .. ':' .. number .. ':' .. epoch .. ' *')
end
return {{tostring(number), epoch}}
"""
"""Make all values void, once for all processes."""

RENEW = """
-- KEYS: lease. ARGV: its token, its ms.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
"""

RELEASE = """
-- KEYS: lease. ARGV: its token, channel, message.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('UNLINK', KEYS[1])
return redis.call('PUBLISH', ARGV[2], ARGV[3])
"""
"""Release the lease, and wake the processes that wait for it."""
