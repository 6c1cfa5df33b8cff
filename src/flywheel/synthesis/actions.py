# ruff: noqa: E501, SIM905  Tables of phrases are easier to read with a phrase book's line length.
"""What people ask machines to do, as a table: domain, verbs, objects, ways to ask, and the slots that fit.

A line is `domain | verbs | objects | requests | slots`; `+kind` in the slots is required. Order tracking, returns,
tickets and the other business of the demo's support desk are left out on purpose: the student must not know them.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Action:
    domain: str
    verbs: tuple[str, ...]
    objects: tuple[str, ...]
    requests: tuple[str, ...]
    required: tuple[str, ...]
    optional: tuple[str, ...]


_TABLE = """
dining | book,reserve | table,restaurant | book a table;i need a table;reserve a table;get me a table | +people +title city date time outdoor:b
dining | find,search,list | restaurants,places to eat | find a restaurant;i am hungry, find somewhere to eat;show me restaurants;any good places | +city cuisine price range:e outdoor:b
dining | order,request | food,meal,delivery | order food;get a meal delivered;i want to order | +foods street time meal:e
dining | get,find,look up | recipe | find a recipe;how do i cook something;i need a recipe | +foods cuisine minutes
travel | book,reserve,buy | flight,flight ticket | book a flight;i want to fly;get me a plane ticket | +origin +destination date cabin:e people round trip:b
travel | search,find | flights,connections | find flights;are there flights;search for flights;show me flights | +origin +destination date money sort:e
travel | book,reserve | hotel,room | book a hotel;i need a room;reserve a hotel room | +city nights date people breakfast:b room type:e
travel | find,search | hotels,accommodation | find hotels;where can i stay;look for a hotel | +city price range:e money pets allowed:b
travel | rent,hire,book | car,vehicle | rent a car;i need a rental car;hire a car | +city date end_date insurance:b
travel | book,buy | train,train ticket | book a train;i need train tickets;buy a train ticket | +origin +destination date time people cabin:e
travel | get,check | visa rules,entry requirements | do i need a visa;what are the entry rules | +country
transport | request,call,book | ride,taxi,cab | call a taxi;get me a ride;book a cab;i need a ride | +destination origin people time shared:b
transport | get,find,plan | route,directions | how do i get there;give me directions;plan a route | +destination origin mode:e
transport | get,check | traffic | how is the traffic;check the traffic | +city
transport | find,locate | parking | find parking;where can i park | +city time money
weather | get,check,show | weather,forecast | what is the weather;weather forecast;how is the weather;will it rain | +city date unit:e
weather | set,create | weather alert,storm warning | warn me of storms;set a weather alert | +city level
music | play,start | song,music,track | play a song;play music;put on some music;i want to hear something | artist title genre service year
music | add,put,save | song to playlist,track to list | add a song;put this track;save the song | +title +playlist artist
music | create,make | playlist | create a playlist;make a new playlist | +title genre private:b tags
music | set,change,adjust | volume | set the volume;turn the volume;change the volume | +level device
video | play,watch,stream | movie,film | play the movie;i want to watch;stream the film | +title service subtitles:b language
video | find,search | movies,films | find movies;search for films;any movies | genre author year sort:e
video | book,buy,get | movie tickets,cinema seats | buy movie tickets;get tickets for the film;book cinema seats | +title people city date time
events | find,search,list | events,concerts | find events;what is going on;any concerts | +city date category:e sport
events | buy,book,reserve | event tickets,concert tickets | buy tickets;get me seats;book tickets | +title count city date
calendar | create,add,schedule | event,meeting,appointment | schedule a meeting;add an event;put a meeting in my calendar;create an appointment | +title date time minutes people_list
calendar | cancel,delete,remove | event,meeting | cancel the meeting;delete the event;remove the appointment | +title date
calendar | list,show,get | events,agenda,schedule | what is on my calendar;show my schedule;list my meetings | +date
calendar | move,reschedule | event,meeting | move the meeting;reschedule the event | +title date time
reminders | set,create,add | reminder | remind me;set a reminder;create a reminder | +topic date time repeat:b
alarms | set,create | alarm | set an alarm;wake me up | +time date repeat:b
alarms | start,set | timer | start a timer;set a timer | +minutes title
messages | send,write | message,text | send a message;text someone;write a message | +recipient +note service urgent:b
messages | send,compose,write | email,mail | send an email;write a mail;compose an email | +email topic note urgent:b
messages | read,get,show | messages,inbox | read my messages;what did i get;show my messages | person date
phone | call,dial,phone | contact,number | call someone;make a call;dial | +recipient phone
contacts | add,create,save | contact | add a contact;save a new contact;create a contact | +person phone email company
contacts | find,look up,get | contact,phone number | find the contact;look up the contact;what is the contact info | +person company
home | turn,switch,set | light,lights | turn the lights;switch the lights;set the lights | +action:e room level color
home | set,adjust,change | thermostat,temperature | set the temperature;make it warmer;adjust the thermostat | +level room unit:e
home | lock,secure | door | lock the door;secure the door | +room
home | control,operate | device,appliance | control something;change something | +device +action:e room time
home | start,run | vacuum,cleaning | start the vacuum;clean the floor | +room time
lists | add,put | item to list,list items | add to my list;put on the list | +foods title
lists | create,make,start | list,todo list | make a list;create a new list | +title foods
lists | remove,delete | list item,item from list | remove from my list;take off the list | +thing title
notes | create,write,save | note,memo | take a note;write a note;save a note | +note title tags
notes | search,find | notes | find my notes;search the notes | +topic date tags
tasks | create,add,open | task,work item | create a task;add a task;open a work item | +title person priority:e date
tasks | assign,give | task,work item | assign the task;give the task | +code +recipient
tasks | update,change,set | task status,task state | change the task;set the task status;update the task | +number +status:e note
tasks | list,show,find | tasks | list the tasks;show me tasks;which tasks are there | status:e person priority:e
news | get,read,show | news,headlines | read the news;what is new;show me headlines | topic country count
search | search,find | web,internet | search the web;look it up online;google | +topic count language
search | search,find,query | documents,files | find documents;search the files;look for files | +topic file type:e date person
files | delete,remove | file,document | delete the file;remove the document | +title
files | share,send | file,document | share the file;send the document | +title +recipient private:b
files | convert,export | file,document | convert the file;export the document | +title +file type:e
files | create,make | folder,directory | create a folder;make a directory | +title private:b
translate | translate,convert | text,phrase | translate something;translate the text | +note +language
finance | convert,exchange | currency,money | convert money;exchange currency | +money +currency
finance | get,check,look up | stock price,share price,quote | what is the stock price;get a quote;how is the stock doing | +company date
finance | buy,trade | stock,shares | buy shares;buy stock | +company +count money
finance | create,issue | invoice,bill | create an invoice;issue an invoice;bill someone | +company +money date currency
finance | record,log,add | expense | log an expense;record an expense;add an expense | +money category:e date note
health | log,record,add | workout,exercise | log a workout;record my exercise;add a training | +sport +minutes date
health | book,schedule,make | doctor appointment,checkup | book a doctor;i need a doctor appointment;schedule a checkup | +person date time urgent:b
health | get,check | calories,nutrition | how many calories;check the nutrition | +foods meal:e
health | log,record | weight,measurement | log my weight;record my weight | +money date unit:e
sports | get,check | score,result | what is the score;who won;get the result | +title sport date
sports | book,reserve | court,pitch | book a court;reserve a pitch | +sport +date time people
learning | find,search | course,class | find a course;search for a class;i want to learn | +topic level:e language
learning | enroll,register,sign up | course,class | enroll me;sign me up;register for the class | +title person date
jobs | find,search | jobs,openings | find jobs;look for work;any openings | +topic city company money
jobs | apply,submit | application | apply for the job;send my application | +code email
property | find,search | apartments,houses,homes | find an apartment;look for a house;search homes | +city money count pets allowed:b
property | schedule,book | viewing,property visit | schedule a viewing;book a visit | +street date time
pets | book,schedule | vet visit,grooming | book a vet;schedule grooming | +person date time
beauty | book,schedule | haircut,salon | book a haircut;get a salon appointment | +person date time city
shopping | search,find | products,items | find products;show me something to buy;search for items | +thing color money sort:e
shopping | add,put | item to cart,cart item | add to my cart;put in the basket | +thing count size:e color
shopping | compare,check | prices,offers | compare prices;check offers | +thing company money
it | restart,reboot | server,machine | restart the server;reboot the machine | +code time
it | create,add | user,account | create a user;add an account | +person email department:e
it | deploy,release | service,application | deploy the service;release the app | +title +code
it | get,show,read | logs,events | show the logs;get me the log | +title level:e count
it | run,execute,start | backup,job | run the backup;start the job | +title time frequency:e
it | scale,resize | cluster,service | scale the service;resize the cluster | +title +count
hr | request,book,take | vacation,leave,time off | request vacation;i want time off;book leave | +date end_date note
hr | find,look up | employee,colleague | find an employee;who is;look up a colleague | +person department:e city
hr | log,record | hours,working time | log my hours;record working time | +count date title
crm | create,add | customer,lead | create a customer;add a lead | +company person email phone
crm | update,change | customer,client | update the customer;change the client record | +code email phone street
maps | get,measure | distance | how far is it;what is the distance | +origin +destination unit:e
maps | find,search | places,points of interest | find places;what is nearby | +city category:e sort:e
library | find,search | articles,papers | find articles;search for papers | +topic author year language
photos | find,show,search | photos,pictures | show my photos;find pictures | date city tags person
photos | edit,change | photo,picture | edit the photo;change the picture | +title level color
surveys | create,make | survey,poll | create a survey;make a poll | +title tags date
donate | donate,give | donation,charity | donate money;give to charity | +money +company repeat:b
games | start,play | game | start a game;play a game | +title level:e people
games | save,submit | score,high score | save the score;submit my score | +rating person title
print | print,output | document,page | print the document;print pages | +title count color
social | post,publish,share | post,update | post an update;publish a post;share something | +note tags private:b
social | follow,add | user,friend | follow someone;add a friend | +person service
garden | water,irrigate | plants,garden | water the plants;irrigate the garden | +room minutes repeat:b
car | find,locate | charging station,fuel | find a charging station;where can i charge | +city money sort:e
car | schedule,book | car service,repair | book a car service;schedule a repair | +date +company time
""".strip().splitlines()


def _action(line: str) -> Action:
    domain, verbs, objects, requests, slots = (part.strip() for part in line.split("|"))
    # A kind may hold blanks ("room type:e"): what follows a blank belongs to it until the mark or a known kind.
    kinds: list[str] = []
    pending = ""
    for word in slots.split():
        pending = f"{pending} {word}".strip()
        bare = pending.lstrip("+")
        if ":" in bare or bare in _KINDS:
            kinds.append(pending)
            pending = ""
    if pending:
        raise ValueError(f"unknown slot {pending!r} in {line!r}")
    return Action(
        domain=domain,
        verbs=tuple(verbs.split(",")),
        objects=tuple(objects.split(",")),
        requests=tuple(requests.split(";")),
        required=tuple(kind[1:] for kind in kinds if kind.startswith("+")),
        optional=tuple(kind for kind in kinds if not kind.startswith("+")),
    )


_KINDS = frozenset(
    "person recipient artist author city origin destination country street title playlist topic note thing company "
    "code number count people nights minutes level rating year money date end_date time email phone cuisine genre "
    "color language currency room device service sport foods tags people_list".split()
)
ACTIONS: tuple[Action, ...] = tuple(_action(line) for line in _TABLE)
