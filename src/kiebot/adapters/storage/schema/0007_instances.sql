-- Which instances send to people side by side, and when each last said so.
create table instances (
  name text primary key,
  seen_at timestamptz not null
);
