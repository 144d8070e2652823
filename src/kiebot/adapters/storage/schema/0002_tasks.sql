-- Every task that KIE took for a job; a task belongs to one job. Its credits are kept in millionths.
create table tasks (
  id text primary key check (length(id) between 1 and 200),
  job_id text not null references jobs (id),
  outcome text check (outcome in ('succeeded', 'failed', 'lost')),
  microcredits bigint check (microcredits >= 0),
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create index tasks_of_job on tasks (job_id, created_at, id);

insert into tasks (id, job_id, outcome, created_at, updated_at)
select kie_task_id, id,
  case when status in ('succeeded', 'refunded') then 'succeeded'
    when status = 'failed' then 'failed' end,
  coalesce(confirmed_at, created_at), updated_at
from jobs
where kie_task_id is not null
on conflict do nothing;

-- How many seconds each file of the answers lasts, where that was measured.
alter table jobs add column measures jsonb not null default '{}';

-- What is to be submitted must not wait behind what is to be checked.
drop index jobs_due;
create index jobs_to_submit on jobs (next_check_at, id) where status = 'queued';
create index jobs_to_check on jobs (next_check_at, id)
  where status <> 'queued' and next_check_at is not null;

-- An account's limits at KIE: as many rows as calls are allowed in one window. A row is taken for a
-- call, and free again one window after the answer.
create table limits (
  name text not null,
  slot integer not null,
  free_at timestamptz not null,
  primary key (name, slot)
);
