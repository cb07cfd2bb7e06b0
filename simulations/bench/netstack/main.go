// A benchmark's opponent: wireguard-go with gVisor's netstack instead of an interface, and one TCP port of its overlay
// address forwarded to a service on loopback. Built from Debian's Go packages; no part of the product.
//
//	netstack ADDRESS PORT BACKEND_PORT <<< "private_key=…"    the standard input is a set operation of wg's UAPI
//
// A blank line ends the operation. It prints "ready", and ends with its input or a signal.
package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"strings"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"
	"gvisor.dev/gvisor/pkg/bufferv2"
	"gvisor.dev/gvisor/pkg/tcpip"
	"gvisor.dev/gvisor/pkg/tcpip/adapters/gonet"
	"gvisor.dev/gvisor/pkg/tcpip/header"
	"gvisor.dev/gvisor/pkg/tcpip/link/channel"
	"gvisor.dev/gvisor/pkg/tcpip/network/ipv4"
	"gvisor.dev/gvisor/pkg/tcpip/stack"
	"gvisor.dev/gvisor/pkg/tcpip/transport/tcp"
)

const (
	mtu   = 1420
	nic   = 1
	queue = 1024
)

// inside is a tun.Device whose other side is the stack.
type inside struct {
	link   *channel.Endpoint
	events chan tun.Event
	end    context.Context
	cancel context.CancelFunc
}

func (d *inside) Read(buffer []byte, offset int) (int, error) {
	packet := d.link.ReadContext(d.end)
	if packet.IsNil() {
		return 0, os.ErrClosed
	}
	defer packet.DecRef()
	length := offset
	for _, part := range packet.AsSlices() {
		length += copy(buffer[length:], part)
	}
	return length - offset, nil
}

func (d *inside) Write(buffer []byte, offset int) (int, error) {
	data := bufferv2.MakeWithData(append([]byte(nil), buffer[offset:]...))
	packet := stack.NewPacketBuffer(stack.PacketBufferOptions{Payload: data})
	defer packet.DecRef()
	d.link.InjectInbound(header.IPv4ProtocolNumber, packet)
	return len(buffer) - offset, nil
}

func (d *inside) File() *os.File         { return nil }
func (d *inside) Flush() error           { return nil }
func (d *inside) MTU() (int, error)      { return mtu, nil }
func (d *inside) Name() (string, error)  { return "inside", nil }
func (d *inside) Events() chan tun.Event { return d.events }
func (d *inside) Close() error           { d.cancel(); return nil }

// newStack has what a good configuration has: selective acknowledgements, CUBIC, buffers that grow to 4 MB.
func newStack(link *channel.Endpoint, address tcpip.Address) *stack.Stack {
	s := stack.New(stack.Options{
		NetworkProtocols:   []stack.NetworkProtocolFactory{ipv4.NewProtocol},
		TransportProtocols: []stack.TransportProtocolFactory{tcp.NewProtocol},
	})
	sack, cubic, moderate := tcpip.TCPSACKEnabled(true), tcpip.CongestionControlOption("cubic"), tcpip.TCPModerateReceiveBufferOption(true)
	receive := tcpip.TCPReceiveBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: 4 << 20}
	send := tcpip.TCPSendBufferSizeRangeOption{Min: 4 << 10, Default: 1 << 20, Max: 4 << 20}
	for _, option := range []tcpip.SettableTransportProtocolOption{&sack, &cubic, &moderate, &receive, &send} {
		must(s.SetTransportProtocolOption(tcp.ProtocolNumber, option))
	}
	must(s.CreateNIC(nic, link))
	own := tcpip.ProtocolAddress{Protocol: ipv4.ProtocolNumber, AddressWithPrefix: address.WithPrefix()}
	must(s.AddProtocolAddress(nic, own, stack.AddressProperties{}))
	s.SetRouteTable([]tcpip.Route{{Destination: header.IPv4EmptySubnet, NIC: nic}})
	return s
}

func must(err tcpip.Error) {
	if err != nil {
		panic(err.String())
	}
}

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// forward joins a connection of the mesh with one to the service.
func forward(source net.Conn, backend string) {
	target, err := net.Dial("tcp", backend)
	if err != nil {
		source.Close()
		return
	}
	go pour(target.(*net.TCPConn), source)
	pour(source.(*gonet.TCPConn), target)
}

type halfCloser interface {
	io.Writer
	CloseWrite() error
}

func pour(to halfCloser, from io.ReadCloser) {
	io.Copy(to, from)
	to.CloseWrite()
}

func settings(input *bufio.Reader) string {
	var lines strings.Builder
	for {
		line, err := input.ReadString('\n')
		if err != nil || line == "\n" {
			return lines.String()
		}
		lines.WriteString(line)
	}
}

func main() {
	address := tcpip.Address(net.ParseIP(os.Args[1]).To4())
	var port, backend uint16
	fmt.Sscan(os.Args[2], &port)
	fmt.Sscan(os.Args[3], &backend)
	link := channel.New(queue, mtu, "")
	s := newStack(link, address)
	end, cancel := context.WithCancel(context.Background())
	packets := &inside{link: link, events: make(chan tun.Event, 1), end: end, cancel: cancel}
	wireguard := device.NewDevice(packets, conn.NewDefaultBind(), device.NewLogger(device.LogLevelError, ""))
	input := bufio.NewReader(os.Stdin)
	check(wireguard.IpcSet(settings(input)))
	check(wireguard.Up())
	listener, err := gonet.ListenTCP(s, tcpip.FullAddress{NIC: nic, Addr: address, Port: port}, ipv4.ProtocolNumber)
	check(err)
	go func() {
		for {
			source, err := listener.Accept()
			check(err)
			go forward(source, fmt.Sprintf("127.0.0.1:%d", backend))
		}
	}()
	fmt.Println("ready")
	io.Copy(io.Discard, input)
}
