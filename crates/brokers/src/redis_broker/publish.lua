-- Decides, numbers, keeps and spreads one publication, in one step that nobody sees half of.
-- KEYS: 1 meta (hash), 2 stream, 3 values (hash), 4 result of the idempotency key (string),
-- 5 which ids have been taken (hash; made when it is first asked for, and gone a minute later).
-- All of one channel, under one hash tag.
local body, id, again = ARGV[1], ARGV[2], ARGV[3]
local size, ttl, meta_ttl, most_keys = tonumber(ARGV[4]), ARGV[5], ARGV[6], tonumber(ARGV[7])
local fresh, life, is_safe = ARGV[8], ARGV[9], ARGV[10]
local key, removes, has_result = ARGV[11], ARGV[12], ARGV[13]
local version, version_epoch = tonumber(ARGV[14]), ARGV[15]
local topic, spread = ARGV[16], ARGV[17]
-- The millisecond of this server's clock from which on another node may have sent it, too; 0: none has it.
local fresh_until = tonumber(ARGV[18])

local meta = redis.call('HMGET', KEYS[1], 'e', 'o', 'l', 'v', 've', 'x')
local epoch, top = meta[1], tonumber(meta[2] or '0')
if not epoch or (meta[3] ~= life and is_safe ~= '1') then
    -- Nobody has seen it, or the server may have forgotten what somebody has seen: a new life.
    epoch, top = fresh, 0
    redis.call('DEL', KEYS[1], KEYS[2])
    redis.call('HSET', KEYS[1], 'e', epoch, 'o', 0, 'l', life)
    meta[4], meta[5], meta[6] = false, false, false
elseif meta[3] ~= life then
    redis.call('HSET', KEYS[1], 'l', life)
end

if has_result == '1' then
    local known = redis.call('GET', KEYS[4])
    if known then
        local offset, of = string.match(known, '^(%d+):(.*)$')
        return {'idempotency', tonumber(offset), of}
    end
end
if again ~= '1' and fresh_until > 0 then
    local time = redis.call('TIME')
    if tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000) >= fresh_until then
        again = '1'
    end
end
-- Whether what is taken is written down now. The entry without a name tells that the hash is whole.
local is_listed = meta[6] == '1' and redis.call('HEXISTS', KEYS[5], '') == 1
if meta[6] == '1' and not is_listed then
    redis.call('HDEL', KEYS[1], 'x')
end
if again == '1' and size > 0 then
    -- It may have arrived. Where one is asked for there are often many (a node came back to all that it had under way),
    -- so the latest are listed once, and then looked up.
    if not is_listed then
        redis.call('DEL', KEYS[5])
        local before, looked = '+', 0
        while before and looked < 20000 do
            local part = redis.call('XREVRANGE', KEYS[2], before, '-', 'COUNT', 500)
            local ids = {}
            before = nil
            for _, entry in ipairs(part) do
                ids[#ids + 1] = string.sub(entry[2][2], 2, 17)
                ids[#ids + 1] = string.match(entry[1], '^%d+')
                before = '(' .. entry[1]
            end
            if before then
                redis.call('HSET', KEYS[5], unpack(ids))
            end
            looked = looked + 500
        end
        redis.call('HSET', KEYS[5], '', '')
        redis.call('PEXPIRE', KEYS[5], 60000)
        redis.call('HSET', KEYS[1], 'x', '1')
        is_listed = true
    end
    local known = redis.call('HGET', KEYS[5], id)
    if known then
        return {'', tonumber(known), epoch}
    end
end
if version > 0 then
    if meta[4] and version <= tonumber(meta[4]) and (meta[5] or '') == version_epoch then
        return {'version', top, epoch}
    end
    redis.call('HSET', KEYS[1], 'v', ARGV[14], 've', version_epoch)
end

local offset = 0
if size > 0 then
    offset = redis.call('HINCRBY', KEYS[1], 'o', 1)
    redis.call('XADD', KEYS[2], 'MAXLEN', '=', size, offset .. '-0', 'b', body)
    redis.call('PEXPIRE', KEYS[2], ttl)
    if is_listed then
        redis.call('HSET', KEYS[5], id, offset)
        if redis.call('HLEN', KEYS[5]) > 40000 then
            redis.call('DEL', KEYS[5])
        end
    end
end
redis.call('PEXPIRE', KEYS[1], meta_ttl)
if most_keys > 0 then
    if removes == '1' then
        redis.call('HDEL', KEYS[3], key)
    elseif redis.call('HEXISTS', KEYS[3], key) == 1 or redis.call('HLEN', KEYS[3]) < most_keys then
        redis.call('HSET', KEYS[3], key, (offset > 0 and offset or top) .. ':' .. body)
    end
    redis.call('PEXPIRE', KEYS[3], meta_ttl)
end
if has_result == '1' then
    redis.call('SET', KEYS[4], offset .. ':' .. (offset > 0 and epoch or ''), 'PX', 300000)
end
if offset > 0 then
    redis.call(spread, topic, offset .. ':' .. epoch .. ':' .. body)
else
    redis.call(spread, topic, '::' .. body)
end
return {'', offset, offset > 0 and epoch or ''}
