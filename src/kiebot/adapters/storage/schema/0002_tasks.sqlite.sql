-- What the type jsonb refuses in PostgreSQL.
create trigger jobs_measures_insert before insert on jobs when not json_valid(new.measures)
begin
  select raise(abort, 'jobs: not JSON');
end;

create trigger jobs_measures_update before update of measures on jobs
when not json_valid(new.measures)
begin
  select raise(abort, 'jobs: not JSON');
end;
