package main

import (
	"time"
)

// Sends packets as they are over one socket of go-micro's transport, and gives back what comes: so many replies, or what
// there is once the limit passes. A limit of its own is needed, since a socket's Recv has none that is useful here.
func (u *User) packets(command *Command) (any, error) {
	socket, err := u.transport.Dial(command.Address)
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	for i := range command.Packets {
		if err := socket.Send(&command.Packets[i]); err != nil {
			return nil, err
		}
	}
	received := make(chan microPacket, 1024)
	go receive(socket, received)
	replies := []microPacket{}
	limit := time.After(command.limit())
	for len(replies) < command.Replies {
		select {
		case reply, more := <-received:
			if !more {
				return replies, nil
			}
			replies = append(replies, reply)
		case <-limit:
			return replies, nil
		}
	}
	return replies, nil
}

func receive(socket microSocket, received chan<- microPacket) {
	defer close(received)
	for {
		var packet microPacket
		if socket.Recv(&packet) != nil {
			return
		}
		select {
		case received <- packet:
		default:
			return
		}
	}
}
