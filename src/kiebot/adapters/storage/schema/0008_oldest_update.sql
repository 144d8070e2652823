-- Who waits longest is found at the beginning of this index, however many wait.
create index inbox_oldest on inbox (update_id) where answered_at is null;
