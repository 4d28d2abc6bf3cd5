-- Forgets what is kept of a channel; its position stays unless its whole life ends.
-- KEYS: 1 meta (hash), 2 stream, 3 values (hash).
redis.call('DEL', KEYS[2], KEYS[3])
if ARGV[1] == '1' then
    redis.call('DEL', KEYS[1])
end
return 1
