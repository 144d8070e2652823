-- Which message of a chat goes on telling how far a job is (`about` = 'job'), or what became of a
-- request ('topup'); `ref` is the id of either, and `has_file` where it stands under a file.
create table notices (
  user_id bigint not null,
  message_id bigint not null,
  about text not null,
  ref text not null,
  has_file boolean not null,
  shown_at timestamptz not null,
  primary key (user_id, message_id)
);

create index notices_about on notices (about, ref);
create index notices_newest on notices (about, shown_at);
