alter table acts alter id type bigint, alter id add generated always as identity;

create function acts_are_append_only() returns trigger language plpgsql as $$
begin
  raise exception 'acts are append-only: no %', lower(tg_op) using errcode = 'restrict_violation';
end
$$;

create trigger acts_no_change before update or delete on acts
  for each row execute function acts_are_append_only();
create trigger acts_no_truncate before truncate on acts
  for each statement execute function acts_are_append_only();
