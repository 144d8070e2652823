-- Results that a frontend keeps under an id of its own. The address is kept as its SHA-256, as it may
-- be longer than a key takes; `kind` is what it was to be shown as, `sent_as` what it was sent as.
create table sent (
  address text not null,
  kind text not null,
  file_id text not null,
  sent_as text not null,
  sent_at timestamptz not null,
  primary key (address, kind)
);
