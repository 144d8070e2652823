create trigger ledger_no_update before update on ledger
begin
  select raise(abort, 'the ledger is append-only: no update');
end;

create trigger ledger_no_delete before delete on ledger
begin
  select raise(abort, 'the ledger is append-only: no delete');
end;

-- `insert or replace` deletes what is in its way without asking the trigger above.
create trigger ledger_no_replace before insert on ledger
when exists (select 1 from ledger where ref = new.ref or id = new.id)
  or exists (
    select 1 from ledger
    where job_id = new.job_id
      and (case when kind in ('charge', 'release') then 'settlement' else kind end)
        = (case when new.kind in ('charge', 'release') then 'settlement' else new.kind end)
  )
begin
  select raise(abort, 'the ledger is append-only: no replace');
end;

-- What the type jsonb refuses in PostgreSQL.
create trigger jobs_json_insert before insert on jobs
when not json_valid(new.params) or (new.result is not null and not json_valid(new.result))
begin
  select raise(abort, 'jobs: not JSON');
end;

create trigger jobs_json_update before update of params, result on jobs
when not json_valid(new.params) or (new.result is not null and not json_valid(new.result))
begin
  select raise(abort, 'jobs: not JSON');
end;

create trigger topups_json_insert before insert on topups
when not json_valid(new.receipt)
begin
  select raise(abort, 'topups: not JSON');
end;

create trigger topups_json_update before update of receipt on topups
when not json_valid(new.receipt)
begin
  select raise(abort, 'topups: not JSON');
end;

create trigger ui_state_json_insert before insert on ui_state
when not json_valid(new.state)
begin
  select raise(abort, 'ui_state: not JSON');
end;

create trigger ui_state_json_update before update of state on ui_state
when not json_valid(new.state)
begin
  select raise(abort, 'ui_state: not JSON');
end;

create trigger outbox_json_insert before insert on outbox
when not json_valid(new.event)
begin
  select raise(abort, 'outbox: not JSON');
end;

create trigger outbox_json_update before update of event on outbox
when not json_valid(new.event)
begin
  select raise(abort, 'outbox: not JSON');
end;
