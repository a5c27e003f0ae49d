"""What the directory does in one step each, in Lua. Commands of Redis 7.0 and no later ones.

`P` is the prefix of all keys:

- `P:epoch`: the highest epoch that was given;
- `P:nodes`: record of each node, by name;
- `P:lease:NODE`: its epoch, for as long as its lease lasts;
- `P:owners`: NODE EPOCH of all that own sessions; `P:own:NODE EPOCH`: codes of these;
- `P:had`: how many sessions each owner that is gone had when the first heir came;
- `P:s:CODE`: node and epoch of a session's owner, or none and 0 where it was given back; format,
  sha256, revision and the record itself;
- `P:returned`: for two leases after a time in which no node had one: owners may still have to write
  their records down again, so nobody makes a session that is not known;
- `P:mirrored`: codes of the sessions that other nodes follow; `P:mirrors:CODE`: by the ticket of
  each, when it was there last, ms.

Each script gets `P` as its only key, so access lists can allow the keys by their pattern.
"""

from __future__ import annotations

_COMMON = """
local P = KEYS[1]
local function raise(epoch)
  if tonumber(redis.call('GET', P .. ':epoch') or '0') < tonumber(epoch) then
    redis.call('SET', P .. ':epoch', epoch)
  end
end
local function give(code, node, epoch)
  local session = P .. ':s:' .. code
  local was = redis.call('HMGET', session, 'node', 'epoch')
  if was[1] then redis.call('SREM', P .. ':own:' .. was[1] .. ' ' .. was[2], code) end
  redis.call('HSET', session, 'node', node, 'epoch', epoch)
  redis.call('SADD', P .. ':own:' .. node .. ' ' .. epoch, code)
  redis.call('SADD', P .. ':owners', node .. ' ' .. epoch)
end
local function now_ms()
  local now = redis.call('TIME')
  return tonumber(now[1]) * 1000 + math.floor(tonumber(now[2]) / 1000)
end
local function owner(code)
  local has = redis.call('HMGET', P .. ':s:' .. code, 'node', 'epoch')
  if not has[1] then return false end
  if redis.call('GET', P .. ':lease:' .. has[1]) ~= has[2] then return '' end
  return has[1]
end
"""

JOIN = (
    _COMMON
    + """
local node, record, ttl, known = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if redis.call('EXISTS', P .. ':lease:' .. node) == 1 then return 0 end
raise(known)
local epoch = redis.call('INCR', P .. ':epoch')
redis.call('SET', P .. ':lease:' .. node, epoch, 'PX', ttl)
redis.call('HSET', P .. ':nodes', node, record)
return epoch
"""
)

RENEW = (
    _COMMON
    + """
local node, record, ttl, epoch = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local has = redis.call('GET', P .. ':lease:' .. node)
if has and has ~= epoch then return {0} end
if not has then
  local has_forgotten = tonumber(redis.call('GET', P .. ':epoch') or '0') < tonumber(epoch)
  local has_others = false
  local known = redis.call('HGETALL', P .. ':nodes')
  for n = 1, #known, 2 do
    if redis.call('EXISTS', P .. ':lease:' .. known[n]) == 1 then has_others = true end
  end
  if has_forgotten or not has_others then
    redis.call('SET', P .. ':returned', 1, 'PX', 2 * tonumber(ttl))
  end
end
raise(epoch)
redis.call('SET', P .. ':lease:' .. node, epoch, 'PX', ttl)
redis.call('HSET', P .. ':nodes', node, record)
local now = redis.call('TIME')
local living, waiting = {}, {}
local nodes = redis.call('HGETALL', P .. ':nodes')
for n = 1, #nodes, 2 do
  local its = redis.call('GET', P .. ':lease:' .. nodes[n])
  if its then
    local left = redis.call('PTTL', P .. ':lease:' .. nodes[n])
    for _, part in ipairs({nodes[n], nodes[n + 1], left}) do table.insert(living, part) end
  end
end
for _, had in ipairs(redis.call('SMEMBERS', P .. ':owners')) do
  local name, its = string.match(had, '^(.*) (%d+)$')
  if redis.call('GET', P .. ':lease:' .. name) ~= its then
    local left = redis.call('SCARD', P .. ':own:' .. had)
    local first = tonumber(redis.call('HGET', P .. ':had', had) or left)
    for _, part in ipairs({had, left, first}) do table.insert(waiting, part) end
  end
end
local mirrors, old = {}, now_ms() - 1000
for _, code in ipairs(redis.call('SMEMBERS', P .. ':mirrored')) do
  local has = redis.call('HMGET', P .. ':s:' .. code, 'node', 'epoch')
  local tickets = redis.call('HGETALL', P .. ':mirrors:' .. code)
  for n = 1, #tickets, 2 do
    if tonumber(tickets[n + 1]) < old then
      redis.call('HDEL', P .. ':mirrors:' .. code, tickets[n])
    elseif has[1] == node and has[2] == epoch then
      table.insert(mirrors, code)
      table.insert(mirrors, tickets[n])
    end
  end
  if redis.call('EXISTS', P .. ':mirrors:' .. code) == 0 then
    redis.call('SREM', P .. ':mirrored', code)
  end
end
return {has and 1 or 2, now[1], now[2], living, waiting, mirrors}
"""
)

LEAVE = (
    _COMMON
    + """
local node, epoch = ARGV[1], ARGV[2]
if redis.call('GET', P .. ':lease:' .. node) == epoch then
  redis.call('DEL', P .. ':lease:' .. node)
  redis.call('HDEL', P .. ':nodes', node)
end
"""
)

CREATE = (
    _COMMON
    + """
local code, node, epoch = ARGV[1], ARGV[2], ARGV[3]
local has = owner(code)
if has then return has end
if redis.call('GET', P .. ':lease:' .. node) ~= epoch then return 0 end
if redis.call('EXISTS', P .. ':returned') == 1 then return 0 end
give(code, node, epoch)
return node
"""
)

FIND = (
    _COMMON
    + """
local owners = {}
for n, code in ipairs(ARGV) do owners[n] = owner(code) end
return owners
"""
)

WRITE = (
    _COMMON
    + """
local node, epoch, refused = ARGV[1], ARGV[2], {}
for n = 3, #ARGV, 5 do
  local code = ARGV[n]
  local has = redis.call('HMGET', P .. ':s:' .. code, 'node', 'epoch')
  if has[1] and (has[1] ~= node or tonumber(has[2]) > tonumber(epoch)) then
    table.insert(refused, code)
  else
    give(code, node, epoch)
    redis.call(
      'HSET', P .. ':s:' .. code,
      'format', ARGV[n + 1], 'sha256', ARGV[n + 2], 'revision', ARGV[n + 3],
      'record', ARGV[n + 4]
    )
  end
end
return refused
"""
)

FORGET = (
    _COMMON
    + """
local node, epoch, is_reserved = ARGV[1], tonumber(ARGV[2]), ARGV[3] == 'reserved'
for n = 4, #ARGV do
  local has = redis.call('HMGET', P .. ':s:' .. ARGV[n], 'node', 'epoch', 'record')
  if has[1] == node and tonumber(has[2]) <= epoch and not (is_reserved and has[3]) then
    redis.call('SREM', P .. ':own:' .. node .. ' ' .. has[2], ARGV[n])
    redis.call('DEL', P .. ':s:' .. ARGV[n])
  end
end
"""
)

RELEASE = (
    _COMMON
    + """
for n = 2, #ARGV do
  if redis.call('HGET', P .. ':s:' .. ARGV[n], 'node') == ARGV[1] then give(ARGV[n], '', '0') end
end
"""
)

CLAIM = (
    _COMMON
    + """
local node, epoch, format, n_owners = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
local digests, claimed = {}, {}
for n = 5 + 2 * n_owners, #ARGV do digests[ARGV[n]] = true end
if redis.call('GET', P .. ':lease:' .. node) ~= epoch then return claimed end
for n = 5, 3 + 2 * n_owners, 2 do
  local had, most, taken = ARGV[n], tonumber(ARGV[n + 1]), 0
  local name, its = string.match(had, '^(.*) (%d+)$')
  if redis.call('GET', P .. ':lease:' .. name) ~= its then
    local codes = redis.call('SMEMBERS', P .. ':own:' .. had)
    redis.call('HSETNX', P .. ':had', had, #codes)
    for _, code in ipairs(codes) do
      local has = redis.call('HMGET', P .. ':s:' .. code, 'sha256', 'record', 'format')
      if not has[2] then
        redis.call('SREM', P .. ':own:' .. had, code)
        redis.call('DEL', P .. ':s:' .. code)
      elseif digests[has[1]] and tonumber(has[3]) <= format and taken < most then
        give(code, node, epoch)
        table.insert(claimed, has[2])
        taken = taken + 1
      end
    end
    if redis.call('EXISTS', P .. ':own:' .. had) == 0 then
      redis.call('SREM', P .. ':owners', had)
      redis.call('HDEL', P .. ':had', had)
    end
  end
end
return claimed
"""
)

OWNED = (
    _COMMON
    + """
local records = {}
for _, code in ipairs(redis.call('SMEMBERS', P .. ':own:' .. ARGV[1] .. ' ' .. ARGV[2])) do
  local record = redis.call('HGET', P .. ':s:' .. code, 'record')
  if record then table.insert(records, record) end
end
return records
"""
)

FOLLOW = (
    _COMMON
    + """
local node, epoch, told = ARGV[1], ARGV[2], {}
if redis.call('GET', P .. ':lease:' .. node) ~= epoch then return 0 end
local now = now_ms()
for n = 3, #ARGV, 3 do
  local code, ticket, known = ARGV[n], ARGV[n + 1], ARGV[n + 2]
  local has = redis.call('HMGET', P .. ':s:' .. code, 'epoch', 'revision', 'record')
  if has[1] then
    redis.call('HSET', P .. ':mirrors:' .. code, ticket, now)
    redis.call('SADD', P .. ':mirrored', code)
    local version = has[1] .. ' ' .. (has[2] or '0')
    local record = version ~= known and has[3] or ''
    for _, part in ipairs({code, owner(code), version, record}) do table.insert(told, part) end
  end
end
return told
"""
)
