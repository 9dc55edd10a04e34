package main

import (
	"encoding/json"
	"fmt"
	"sync"
)

// Slow is what a load calls in between: every so many calls another one, which its caller may give up.
type Slow struct {
	Every    int    `json:"every"`
	Endpoint string `json:"endpoint"`
	For      int32  `json:"for"`
	Millis   int    `json:"millis"`
	Attempt  int    `json:"attempt"`
	Retries  int    `json:"retries"`
}

// Load is how many calls went how. A wrong reply is one to another call.
type Load struct {
	Good   int            `json:"good"`
	Wrong  []string       `json:"wrong"`
	Failed map[string]int `json:"failed"`
	Slow   int            `json:"slow"`
	GaveUp int            `json:"gave_up"`
	Nodes  map[string]int `json:"nodes"`
}

// Count calls, At of them at once. Each says its own name, and its reply has to greet that name; calls of Echo.Who are
// counted by the node that answers.
func (u *User) load(command *Command) (any, error) {
	load := &Load{Wrong: []string{}, Failed: map[string]int{}, Nodes: map[string]int{}}
	var lock sync.Mutex
	var working sync.WaitGroup
	numbers := make(chan int)
	for i := 0; i < max(command.At, 1); i++ {
		working.Add(1)
		go func() {
			defer working.Done()
			for number := range numbers {
				u.one(command, number, load, &lock)
			}
		}()
	}
	for number := 0; number < command.Count; number++ {
		numbers <- number
	}
	close(numbers)
	working.Wait()
	return load, nil
}

func (u *User) one(command *Command, number int, load *Load, lock *sync.Mutex) {
	one, slow := *command, command.Slow != nil && number%command.Slow.Every == command.Slow.Every-1
	name := fmt.Sprintf("%s-%d", command.Name, number)
	req := &Req{Name: name}
	if slow {
		one.Endpoint, one.Millis = command.Slow.Endpoint, command.Slow.Millis
		one.Attempt, one.Retries = command.Slow.Attempt, command.Slow.Retries
		req.Millis = command.Slow.For
	}
	one.Type = ""
	one.Body, _ = json.Marshal(req)
	reply, err := u.call(&one)

	lock.Lock()
	defer lock.Unlock()
	switch {
	case err != nil && slow && failedWith(err).Code == 408:
		load.GaveUp++
	case err != nil:
		load.Failed[err.Error()]++
	case command.Endpoint == "Echo.Who" && !slow:
		load.Good++
		load.Nodes[reply.(*Rsp).Greeting]++
	case slow && reply.(*Rsp).Greeting == "ran "+name:
		load.Slow++
	case !slow && reply.(*Rsp).Greeting == "Hello "+name:
		load.Good++
	case len(load.Wrong) < 20:
		load.Wrong = append(load.Wrong, fmt.Sprintf("%s got %v", name, reply))
	}
}
