import jakarta.jms.BytesMessage;
import jakarta.jms.Connection;
import jakarta.jms.DeliveryMode;
import jakarta.jms.MapMessage;
import jakarta.jms.Message;
import jakarta.jms.MessageProducer;
import jakarta.jms.Session;
import jakarta.jms.StreamMessage;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.Base64;
import org.apache.activemq.ActiveMQConnectionFactory;

/**
 * Posts messages over OpenWire, as a Java component does.
 *
 * <p>Arguments: broker URL, queue. Standard input: a message a line, "TYPE BASE64", TYPE being text, bytes, map, object,
 * stream or plain (a Message without body). Prints the JMS message id of each, in order. With a third argument, read, it takes a message
 * from the queue instead. POST_USER and POST_PASSWORD name who it is.
 */
public final class Post {
    public static void main(String[] arguments) throws Exception {
        ActiveMQConnectionFactory factory = new ActiveMQConnectionFactory(arguments[0]);
        factory.setUserName(System.getenv("POST_USER"));
        factory.setPassword(System.getenv("POST_PASSWORD"));
        Connection connection = factory.createConnection();
        try {
            connection.start();
            Session session = connection.createSession(false, Session.AUTO_ACKNOWLEDGE);
            if (arguments.length > 2) {
                System.out.println(session.createConsumer(session.createQueue(arguments[1])).receive(10_000).getJMSMessageID());
                return;
            }
            MessageProducer producer = session.createProducer(session.createQueue(arguments[1]));
            producer.setDeliveryMode(DeliveryMode.PERSISTENT);
            BufferedReader lines = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.US_ASCII));
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] parts = line.split(" ", 2);
                byte[] body = parts.length < 2 ? new byte[0] : Base64.getDecoder().decode(parts[1]);
                Message message = message(session, parts[0], body);
                producer.send(message);
                System.out.println(message.getJMSMessageID());
            }
        } finally {
            connection.close();
        }
    }

    private static Message message(Session session, String type, byte[] body) throws Exception {
        switch (type) {
            case "text":
                return session.createTextMessage(new String(body, StandardCharsets.UTF_8));
            case "bytes": {
                BytesMessage message = session.createBytesMessage();
                message.writeBytes(body);
                return message;
            }
            case "map": {
                MapMessage message = session.createMapMessage();
                message.setString("session", new String(body, StandardCharsets.UTF_8));
                return message;
            }
            case "object":
                return session.createObjectMessage(new String(body, StandardCharsets.UTF_8));
            case "stream": {
                StreamMessage message = session.createStreamMessage();
                message.writeString(new String(body, StandardCharsets.UTF_8));
                return message;
            }
            case "plain":
                return session.createMessage();
            default:
                throw new IllegalArgumentException("type " + type);
        }
    }
}
