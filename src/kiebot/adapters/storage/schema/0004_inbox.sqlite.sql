insert into inbox_people (user_id, taker, taken_until)
select distinct user_id, '', '1970-01-01T00:00:00.000000+00:00' from inbox where answered_at is null;
