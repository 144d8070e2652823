alter table tasks set (fillfactor = 70);
alter table limits set (fillfactor = 70);
