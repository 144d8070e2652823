-- An update is done when what it asks for was recorded, and answered when its person saw a reply.
alter table inbox add column answered_at timestamptz;
alter table inbox add column tries integer not null default 0;
update inbox set answered_at = done_at where done_at is not null;

drop index inbox_waiting;
create index inbox_waiting on inbox (user_id, update_id) where answered_at is null;
create index inbox_answered on inbox (answered_at) where answered_at is not null;

-- Whose updates are being handled, by whom, and until when nobody else may.
create table inbox_people (
  user_id bigint primary key,
  taker text not null,
  taken_until timestamptz not null
);

create index outbox_told on outbox (told_at) where told_at is not null;

-- For counting; open jobs and drafts have indexes of their own.
create index jobs_over on jobs (status)
  where status in ('succeeded', 'failed', 'refunded', 'cancelled');
