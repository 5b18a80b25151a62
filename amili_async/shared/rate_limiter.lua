-- One exchange between a process and the rate limiter that it shares with others; exchange.py has the other half.
--
-- Invariant: a permit occupies its slot from its grant until one window after its response, by one clock that neither
-- goes back nor passes faster than the processes measure. Nothing is granted to a message that is older than another.
--
-- KEYS[1] holds the state as one JSON value: atomic, on one node of a cluster, readable with GET, expiring as one.
-- ARGV[1] is the message of the process; the result is the reply. Both are JSON. Times are milliseconds since the state
-- was made, which keeps it short.
local SECOND, MINUTE, HOUR = 1005, 60005, 3600000 -- windows a little longer: clocks differ in their last digits
local CLOCK_TOLERANCE = 500 -- more than a message takes, unless its process, or this server, was stopped
local SETTLING = 1500 -- nothing is granted for so long after a loss, in which each process reports what it used
local GRACE = 250 -- a process whose message is so much later than planned has lost its share
local PATIENCE = 1000 -- the longest delay of a message because others are first: they may be dead
local TOGETHER = 25 -- permits that are free so shortly after one another are fetched together
local RETRY = 250 -- until the next message of a process whose permit depends on a response of another
local MAX_OVERTAKEN = 9 -- a priority that waits gets one permit in ten
local MAX_PROBES = 3 -- requests in flight that a token bucket would reject, until the server is known not to be one
local RESET_JITTER = 2000 -- by which the reset of one period may move between responses
local RESET_SLACK = 250 -- after a reported reset: headers hold whole seconds

local m = cjson.decode(ARGV[1])
local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local stored = redis.call('GET', KEYS[1])
local s = stored and cjson.decode(stored) or {
  epoch = m.new_epoch, now = 0, shift = -clock, held_back = 0, counted = {}, processes = {}, overtaken = {0, 0, 0},
  closed_until = 0, paced_until = 0, pace = 0, bucket = 0, beyond = 0,
  is_probe = false, least = HOUR, reset = -HOUR, unreported = -HOUR,
  period_from = 0, period_until = 0, quiet_until = 0, sent = 0, others = 0,
}
local function save() redis.call('SET', KEYS[1], cjson.encode(s), 'PX', HOUR + 2 * MINUTE) end

-- 1. The time. A server's clock can be set, and a replica that takes over has another: it passes as the process has
-- measured since its last reply, and does not go back. A message that disagrees may be late instead, as what a stopped
-- server was sent: it has no effect, and its process, if it still waits, sends it once more. Where the time is held
-- back, what other processes expect is too far ahead by as much, until their next reply.
local now = clock + s.shift
local expected = m.expected_now - (s.held_back - m.held_back)
if m.epoch == s.epoch and math.abs(now - expected) > CLOCK_TOLERANCE then
  if not m.is_checked then return '{"is_late":true}' end
  now = expected
end
now = math.max(now, s.now)
s.held_back = s.held_back + math.max(0, clock + s.shift - now)
s.now, s.shift = now, now - clock

local function count(at) -- keeps the order
  local place = #s.counted + 1
  while place > 1 and s.counted[place - 1] > at do place = place - 1 end
  table.insert(s.counted, place, at)
end

-- 2. Processes that are lost: their requests count as answered when their lease ended.
for id, process in pairs(s.processes) do
  if process.lease_until < now then
    for _ = 1, process.in_flight do count(process.lease_until) end
    s.processes[id] = nil
  end
end

-- 3. What the process reports. A server that was stopped executes late what connections long given up had sent: only a
-- later sending counts. What is sent again, since its reply was lost, is applied once, and what that granted is void.
local me = s.processes[m.id] or {number = 0, sending = 0, in_flight = 0, wanted = {0, 0, 0}, taken = {0, 0, 0}}
if m.sending <= me.sending then return '{"is_stale":true}' end
local is_lost = m.epoch ~= '' and m.epoch ~= s.epoch
if is_lost or m.went_alone then s.closed_until = math.max(s.closed_until, now + SETTLING) end
if is_lost and not m.log then
  save()
  return '{"is_lost":true}'
end
s.processes[m.id] = me
local rate, leeway = 60000 / m.per_minute, m.per_second - 1

local function count_in_flight()
  local count = 0
  for _, process in pairs(s.processes) do count = count + process.in_flight end
  return count
end

local function count_response(age, remaining, reset_in)
  local at = now - age
  count(at)
  if not remaining then
    s.unreported = math.max(s.unreported, at)
    return
  end
  s.least, s.reset = math.min(s.least, remaining), math.max(s.reset, at + reset_in)
  -- What the server counts beyond what was granted here, others send with the same key. The responses of a burst arrive
  -- in any order, and each resets the period of Eve's own counter: the largest difference and the latest reset hold.
  if at >= s.period_until or at + reset_in > s.period_until + RESET_JITTER then
    s.period_from, s.period_until, s.quiet_until, s.sent, s.others = at, at + reset_in, 0, count_in_flight(), 0
  end
  if at >= s.period_from then -- another process may report late what belongs to the last period
    s.quiet_until = math.max(s.quiet_until, at + reset_in + RESET_SLACK)
    s.others = math.max(s.others, m.per_minute - remaining - s.sent)
  end
  -- Windows aligned to the clock start again before ours: early in a new one, the response to a probe shows the count.
  if s.is_probe and at - s.unreported > MINUTE and reset_in > MINUTE / 2 then
    while #s.counted > m.per_minute - remaining and s.counted[1] <= now - SECOND do table.remove(s.counted, 1) end
  end
end

if me.number ~= m.number then
  s.sent = s.sent - m.unused
  for _, age in ipairs(m.log or {}) do count(now - age) end
  for _, response in ipairs(m.responses) do count_response(response[1], response[2], response[3]) end
  if m.pause > 0 then
    s.closed_until = math.max(s.closed_until, now + m.pause)
    s.paced_until, s.pace = now + HOUR, s.closed_until + leeway * rate / 0.99
    s.unreported = now + HOUR -- after a 429 the server counts something that its headers do not show
  end
end
for priority = 1, 3 do
  if me.wanted[priority] == 0 then
    local least
    for _, other in pairs(s.processes) do
      if other ~= me and other.wanted[priority] > 0 and other.taken[priority] < (least or math.huge) then
        least = other.taken[priority]
      end
    end
    me.taken[priority] = math.max(me.taken[priority], least or 0)
  end
end
me.number, me.sending, me.in_flight, me.wanted = m.number, m.sending, m.in_flight, m.wanted
me.limit, me.due_at, me.lease_until = m.per_minute .. '/' .. m.per_second, now, now + m.lease
while #s.counted > m.per_minute or s.counted[1] and s.counted[1] <= now - MINUTE do table.remove(s.counted, 1) end

-- 4. When the n-th permit from now is free, in milliseconds: by both windows, the pause, and the pace after a 429.
local in_flight, processes, waiting_calls, is_differing = count_in_flight(), 0, 0, false
for _, process in pairs(s.processes) do
  processes = processes + 1
  waiting_calls = waiting_calls + process.wanted[1] + process.wanted[2] + process.wanted[3]
  is_differing = is_differing or process.limit ~= me.limit
end

local first_in_second = #s.counted + 1
while first_in_second > 1 and s.counted[first_in_second - 1] > now - SECOND do first_in_second = first_in_second - 1 end

local function wait_in(first, period, spare, nth)
  local missing = in_flight + #s.counted - first + 1 + nth - spare
  if missing <= 0 then return 0 end
  local counted = s.counted[first + missing - 1]
  return counted and counted + period - now or period -- what is in flight frees nothing for a whole window
end

local function wait_for_probe(reserve)
  if now - s.unreported <= MINUTE or s.reset < 0 then return HOUR end
  local wait = s.least > reserve and s.least < HOUR and 0 or math.max(0, s.reset + RESET_SLACK - now)
  return in_flight > 0 and math.max(wait, RETRY) or wait
end

-- Until some were answered that a token bucket rejects, only a few are in flight that it would reject: a whole second's
-- worth would be rejected at once. Later, and after a 429, the server is known well enough.
local function is_probing() return s.paced_until <= now and s.beyond <= 2 * MAX_PROBES end
local function is_beyond_bucket(nth) return math.max(s.bucket, now) + (nth - 1 - leeway) * rate > now end

local function wait_for(nth, reserve)
  local kept = reserve > 0 and leeway > 0 and 1 or 0 -- of each second
  local wait = math.max(s.closed_until - now, wait_in(first_in_second, SECOND, m.per_second - kept, nth), 0)
  if s.paced_until > now then
    wait = math.max(wait, math.max(s.pace, now) + (nth - 1 - leeway) * rate / 0.99 - now)
  elseif is_probing() and in_flight + nth > MAX_PROBES and is_beyond_bucket(nth) then
    wait = math.max(wait, RETRY)
  end
  if s.sent + s.others + nth > m.per_minute then wait = math.max(wait, s.quiet_until - now) end
  local minute = wait_in(1, MINUTE, m.per_minute - reserve, nth)
  if minute > wait and nth == 1 then minute = math.min(minute, wait_for_probe(reserve)) end
  return math.max(wait, minute)
end

-- 5. Who gets it: the highest priority, or one that was overtaken too often; within it equal shares for the processes
-- that wait. One that begins to wait has taken as many as the one that has taken least: it has no claim on the past.
local queues, left = {{}, {}, {}}, {0, 0, 0}
for id, process in pairs(s.processes) do
  for priority = 1, 3 do
    local wanted = process.wanted[priority]
    if wanted > 0 and process.due_at >= now then
      table.insert(queues[priority], {id = id, process = process, left = wanted, taken = process.taken[priority]})
      left[priority] = left[priority] + wanted
    end
  end
end

local function is_before(a, b)
  if a.taken ~= b.taken then return a.taken < b.taken end
  return a.id < b.id
end

local function find_waiter(priority, wait)
  local chosen
  for _, waiter in ipairs(queues[priority]) do
    -- What is free keeps no call waiting for a process that sleeps until much later.
    local is_due = waiter.process == me or waiter.process.due_at <= now + wait + 2 * GRACE
    if waiter.left > 0 and is_due and (not chosen or is_before(waiter, chosen)) then chosen = waiter end
  end
  return chosen
end

local overtaken = {s.overtaken[1], s.overtaken[2], s.overtaken[3]}
local function find_next(nth)
  for pass = 1, 2 do
    for priority = 1, 3 do
      local is_overdue = overtaken[priority] >= MAX_OVERTAKEN
      if pass == 2 or is_overdue then
        local wait = wait_for(nth, priority == 3 and not is_overdue and m.reserve or 0)
        local waiter = find_waiter(priority, wait)
        if waiter then return waiter, priority, wait end
      end
    end
  end
end

local function overtake(counts, chosen)
  for priority = 1, 3 do
    if priority == chosen or left[priority] == 0 then
      counts[priority] = 0
    elseif priority > chosen then
      counts[priority] = counts[priority] + 1
    end
  end
end

local granted, total, ahead, again, first_wait, earliest = {0, 0, 0}, 0, 0, nil, nil, nil
while ahead < m.per_minute + m.per_second do
  local waiter, priority, wait = find_next(ahead + 1)
  if not waiter then break end
  local is_mine = waiter.process == me
  if wait > 0 or not is_mine then first_wait = first_wait or wait end
  if wait > 0 then earliest = earliest or wait_for(ahead + 1, 0) end -- even without a reserve nothing is free before
  if is_mine and wait > 0 then
    if again and wait > again + TOGETHER then break end
    again = wait
  elseif is_mine then
    granted[priority], total = granted[priority] + 1, total + 1
  end
  waiter.left, waiter.taken, ahead = waiter.left - 1, waiter.taken + 1, ahead + 1
  left[priority] = left[priority] - 1
  if is_mine and wait <= 0 then overtake(s.overtaken, priority) end
  overtake(overtaken, priority)
end
if total > 0 then
  s.is_probe = in_flight == 0 and total == 1
  if s.is_probe then s.least = HOUR end
  me.in_flight, in_flight = me.in_flight + total, in_flight + total
  s.sent, s.bucket = s.sent + total, math.max(s.bucket, now) + total * rate
  if is_beyond_bucket(0) then s.beyond = s.beyond + total end
  if s.paced_until > now then s.pace = math.max(s.pace, now) + total * rate / 0.99 end
  for priority = 1, 3 do
    me.wanted[priority] = me.wanted[priority] - granted[priority]
    me.taken[priority] = me.taken[priority] + granted[priority]
  end
end

-- 6. When the next message is due. A process that sends it later, or never, keeps its share no longer than a moment.
if me.wanted[1] + me.wanted[2] + me.wanted[3] > 0 then
  again = math.max(1, math.ceil(math.min(again or math.huge, first_wait + PATIENCE)))
  me.due_at = now + again + GRACE
  if me.in_flight == 0 then me.lease_until = math.max(me.lease_until, me.due_at) end
end
save()
return cjson.encode({
  epoch = s.epoch, now = now, held_back = s.held_back,
  granted = granted, again = again or -1, earliest = math.ceil(earliest or 0),
  closed_for = math.max(0, s.closed_until - now), used = in_flight + #s.counted,
  in_flight = in_flight, waiting = waiting_calls - total, processes = processes, is_paced = s.paced_until > now,
  is_differing = is_differing, is_urgent = s.is_probe or is_probing() and s.beyond > 0,
})
