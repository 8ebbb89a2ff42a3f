-- Writes a status unless the view holds the same or a later revision; returns the revision now in the view, and 1 if the view knew the
-- order before, else 0.
-- KEYS[1]: the delivery's hash. ARGV: revision, status. Redis runs a script as one atomic step.
local held = redis.call('HGET', KEYS[1], 'revision')
if held then
  local revision = tonumber(held)
  if not revision then
    return redis.error_reply('WRONGTYPE ' .. KEYS[1] .. ' holds no revision')
  end
  if revision >= tonumber(ARGV[1]) then
    return {revision, 1}
  end
end
redis.call('HSET', KEYS[1], 'revision', ARGV[1], 'status', ARGV[2])
return {tonumber(ARGV[1]), held and 1 or 0}
