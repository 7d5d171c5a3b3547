-- timer_by_lane: finds the scheduled sends of a chat, for ctx.scheduled and when its person opts out.
CREATE INDEX timer_by_lane ON timer (lane, due);
