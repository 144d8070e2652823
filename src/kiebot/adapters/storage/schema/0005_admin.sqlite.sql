create trigger acts_no_update before update on acts
begin
  select raise(abort, 'acts are append-only: no update');
end;

create trigger acts_no_delete before delete on acts
begin
  select raise(abort, 'acts are append-only: no delete');
end;

-- `insert or replace` deletes what is in its way without asking the trigger above.
create trigger acts_no_replace before insert on acts
when exists (select 1 from acts where id = new.id)
begin
  select raise(abort, 'acts are append-only: no replace');
end;
