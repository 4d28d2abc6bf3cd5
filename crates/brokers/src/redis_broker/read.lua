-- Reads what is kept of a channel, all at one moment; begins its first life if it has none.
-- KEYS: 1 meta (hash), 2 stream, 3 values (hash). ARGV: what follows a position, or everything.
local fresh, life, is_safe, meta_ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local after, after_epoch, has_values = tonumber(ARGV[5]), ARGV[6], ARGV[7]

local meta = redis.call('HMGET', KEYS[1], 'e', 'o', 'l')
local epoch, top = meta[1], tonumber(meta[2] or '0')
if not epoch or (meta[3] ~= life and is_safe ~= '1') then
    epoch, top = fresh, 0
    redis.call('DEL', KEYS[1], KEYS[2])
    redis.call('HSET', KEYS[1], 'e', epoch, 'o', 0, 'l', life)
    redis.call('PEXPIRE', KEYS[1], meta_ttl)
elseif meta[3] ~= life then
    redis.call('HSET', KEYS[1], 'l', life)
end

local first = redis.call('XRANGE', KEYS[2], '-', '+', 'COUNT', 1)
local floor = top
if first[1] then
    floor = tonumber(string.match(first[1][1], '^%d+')) - 1
end
local from = '-'
if epoch == after_epoch and after >= floor and after <= top then
    floor = after
    from = '(' .. after .. '-18446744073709551615'
end
local entries = redis.call('XRANGE', KEYS[2], from, '+')
local values = {}
if has_values == '1' then
    values = redis.call('HVALS', KEYS[3])
end
return {epoch, top, floor, entries, values}
