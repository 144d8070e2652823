-- What administrators look for people by, when people were last here, and who is shut out.
alter table users add column nickname text;
alter table users add column seen_at timestamptz;
alter table users add column blocked_at timestamptz;

create index users_nickname on users (lower(nickname)) where nickname is not null;
create index users_seen on users (seen_at) where seen_at is not null;
create index users_new on users (created_at);

-- Who did what, when and why. No foreign key: a model is of the catalog, and the subject of an act
-- may be of any table.
create table acts (
  id integer primary key,
  actor text not null check (actor <> ''),
  act text not null check (
    act in (
      'approve', 'correct', 'reject', 'grant', 'debit', 'refund', 'block', 'unblock', 'switch_off',
      'switch_on'
    )
  ),
  subject_kind text not null check (subject_kind in ('user', 'job', 'topup', 'model')),
  subject text not null check (subject <> ''),
  user_id bigint,
  amount_kop bigint check (amount_kop > 0),
  why text not null,
  created_at timestamptz not null,
  constraint acts_say_why check (act in ('approve', 'correct', 'reject') or why <> '')
);

create index acts_of on acts (user_id, id desc) where user_id is not null;

create table switched_off (
  model_id text primary key,
  actor text not null,
  why text not null check (why <> ''),
  created_at timestamptz not null
);

-- For the numbers of a day, and the list of what failed.
create index jobs_confirmed on jobs (confirmed_at) where confirmed_at is not null;
create index jobs_failed on jobs (updated_at desc, id desc) where status = 'failed';
create index ledger_made on ledger (created_at);
