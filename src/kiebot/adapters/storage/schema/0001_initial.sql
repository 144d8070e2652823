-- Both databases read this file, and then the one beside it that is their own.
-- Money is whole kopecks, a moment is UTC; SQLite keeps moments and JSON as text.

create table users (
  id bigint primary key,
  name text not null,
  language text not null,
  created_at timestamptz not null
);

-- The upper bounds are for SQLite, where a sum that is too large silently becomes a float.
create table wallets (
  user_id bigint primary key references users (id),
  balance_kop bigint not null default 0
    constraint wallets_balance_not_below_zero
    check (balance_kop >= 0 and balance_kop <= 9223372036854775807),
  hold_kop bigint not null default 0
    constraint wallets_hold_not_below_zero
    check (hold_kop >= 0 and hold_kop <= 9223372036854775807)
);

create table jobs (
  id text primary key check (length(id) between 1 and 16),
  user_id bigint not null references users (id),
  model_id text not null,
  params jsonb not null,
  status text not null check (
    status in ('draft', 'queued', 'running', 'succeeded', 'failed', 'refunded', 'cancelled')
  ),
  price_kop bigint check (price_kop >= 0),
  kie_price_kop bigint check (kie_price_kop >= 0),
  offered_at timestamptz,
  confirmed_at timestamptz,
  submissions integer not null check (submissions >= 0),
  kie_task_id text,
  next_check_at timestamptz,
  result jsonb,
  error text,
  error_detail text,
  replaced_by text references jobs (id) deferrable initially deferred,
  created_at timestamptz not null,
  updated_at timestamptz not null
);

create index jobs_history on jobs (user_id, confirmed_at desc, id desc)
  where confirmed_at is not null;
create index jobs_open on jobs (confirmed_at, id) where status in ('queued', 'running');
create index jobs_open_of on jobs (user_id, confirmed_at, id)
  where status in ('queued', 'running');
create index jobs_due on jobs (next_check_at, id) where status in ('queued', 'running');
create index jobs_drafts on jobs (updated_at, id) where status = 'draft';
create index jobs_drafts_of on jobs (user_id, updated_at desc, id) where status = 'draft';
create index jobs_times on jobs (model_id, updated_at desc) where status = 'succeeded';

create table ledger (
  id integer primary key,
  user_id bigint not null references users (id),
  kind text not null check (
    kind in ('topup', 'grant', 'debit', 'hold', 'charge', 'release', 'refund')
  ),
  amount_kop bigint not null check (amount_kop > 0 and amount_kop <= 9223372036854775807),
  ref text not null constraint ledger_ref_once unique,
  job_id text references jobs (id),
  actor text,
  why text,
  created_at timestamptz not null,
  constraint ledger_job_where_of_a_job
    check ((kind in ('hold', 'charge', 'release', 'refund')) = (job_id is not null)),
  constraint ledger_operator_says_who_and_why
    check (kind not in ('grant', 'debit') or (coalesce(actor, '') <> '' and coalesce(why, '') <> ''))
);

create index ledger_history on ledger (user_id, id desc);
-- A second guard beside the ref: one hold, one of charge and release, one refund.
create unique index ledger_of_job on ledger (
  job_id, (case when kind in ('charge', 'release') then 'settlement' else kind end)
) where job_id is not null;
create index ledger_topups on ledger (user_id, id desc) where kind = 'topup';

create table topups (
  id text primary key check (length(id) between 1 and 16),
  user_id bigint not null references users (id),
  amount_kop bigint not null check (amount_kop > 0),
  requested_kop bigint not null check (requested_kop > 0),
  status text not null check (
    status in ('pending', 'manual_review', 'approved', 'rejected', 'cancelled')
  ),
  receipt jsonb not null,
  created_at timestamptz not null,
  reviewed_by bigint,
  reviewed_at timestamptz,
  why text
);

create unique index topups_one_pending on topups (user_id) where status = 'pending';
create index topups_waiting_of on topups (user_id) where status in ('pending', 'manual_review');
create index topups_to_review on topups (created_at, id) where status = 'manual_review';
create index topups_to_review_of on topups (user_id, created_at desc, id desc)
  where status = 'manual_review';

-- Which files were receipts of which top-up: how one shown before is found again.
create table topup_receipts (
  digest text not null,
  topup_id text not null references topups (id),
  primary key (digest, topup_id)
);

-- No foreign key from here on: an administrator, or who writes for the first time, is no user yet.
create table ui_state (
  user_id bigint primary key,
  state jsonb not null,
  updated_at timestamptz not null
);

create table outbox (
  id integer primary key,
  user_id bigint not null,
  kind text not null,
  event jsonb not null,
  cause text,
  created_at timestamptz not null,
  told_at timestamptz
);

create index outbox_untold on outbox (id) where told_at is null;
create index outbox_untold_of on outbox (user_id, id) where told_at is null;
create index outbox_told_of on outbox (user_id, id) where told_at is not null;
create index outbox_alerts on outbox (cause, created_at) where cause is not null;

create table inbox (
  update_id bigint primary key,
  user_id bigint not null,
  body text not null,
  received_at timestamptz not null,
  done_at timestamptz
);

create index inbox_waiting on inbox (update_id) where done_at is null;

-- The unique pair makes the token a key column: in PostgreSQL, who takes the lead over then waits
-- for those who work under the old token (`for key share`), and a heartbeat does not.
create table lead (
  scope text primary key,
  token bigint not null,
  holder text not null,
  until timestamptz not null,
  locked boolean not null,
  unique (scope, token)
);

create table identity (
  key text primary key,
  value text not null
);
