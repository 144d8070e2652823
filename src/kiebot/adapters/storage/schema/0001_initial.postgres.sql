alter table ledger alter id type bigint, alter id add generated always as identity;
alter table outbox alter id type bigint, alter id add generated always as identity;

-- Room in the page for the next version of a row that changes often.
alter table wallets set (fillfactor = 70);
alter table jobs set (fillfactor = 70);
alter table ui_state set (fillfactor = 70);
alter table outbox set (fillfactor = 70);
alter table inbox set (fillfactor = 70);
alter table lead set (fillfactor = 70);

create function ledger_is_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'the ledger is append-only: no %', lower(tg_op)
    using errcode = 'restrict_violation';
end
$$;

create trigger ledger_no_change before update or delete on ledger
  for each row execute function ledger_is_append_only();
create trigger ledger_no_truncate before truncate on ledger
  for each statement execute function ledger_is_append_only();
