"""Schedules: runs that begin by themselves.

`decision` says whether a schedule's run would begin now, and why, from facts alone; `facts` gathers those;
`tick` looks at all schedules and starts what is due; `service` is what users do with them.
"""
